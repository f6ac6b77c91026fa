// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"math/big"
	"strings"
	"testing"
)

func TestParsePort(t *testing.T) {
	for in, want := range map[string]Port{
		"80":                 {Host: 80, Container: 80, Protocol: "tcp"},
		"80/udp":             {Host: 80, Container: 80, Protocol: "udp"},
		"8080:7000":          {Host: 8080, Container: 7000, Protocol: "tcp"},
		"8080:7000/TCP":      {Host: 8080, Container: 7000, Protocol: "tcp"},
		"0.0.0.0:1:65535":    {HostIP: "0.0.0.0", Host: 1, Container: 65535, Protocol: "tcp"},
		"[::1]:80:81":        {HostIP: "::1", Host: 80, Container: 81, Protocol: "tcp"},
		"[fe80::0]:80:81":    {HostIP: "fe80::", Host: 80, Container: 81, Protocol: "tcp"},
		"127.0.0.1:9:10/udp": {HostIP: "127.0.0.1", Host: 9, Container: 10, Protocol: "udp"},
	} {
		if got, err := ParsePort(in); err != nil || got != want {
			t.Errorf("ParsePort(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "0", "65536", "-1", "+80", "080", "a", "80:", ":80", "80:0", "1:2:3", "1:2:3:4", "localhost:80:80", "80/sctp", "80/",
		"::1:80:80", "[::1]80:80", "[::1]:80", "[::1%eth0]:80:80", "80-90", "80 ", "1e3", "99999999999999999999",
	} {
		if got, err := ParsePort(in); err == nil {
			t.Errorf("ParsePort(%q) = %+v, want an error", in, got)
		}
	}
}

func TestParseQuantity(t *testing.T) {
	for in, want := range map[string]*big.Rat{
		"1": big.NewRat(1, 1), "0.5": big.NewRat(1, 2), "500m": big.NewRat(1, 2), "1k": big.NewRat(1000, 1), "1Ki": big.NewRat(1024, 1),
		"512Mi": big.NewRat(512<<20, 1), "2G": big.NewRat(2e9, 1), "1.5Gi": big.NewRat(3<<29, 1), "1e3": big.NewRat(1000, 1), "1E": big.NewRat(1e18, 1),
		"1Ei": big.NewRat(1<<60, 1), "5E2": big.NewRat(500, 1), "1T": big.NewRat(1e12, 1), "1Pi": big.NewRat(1<<50, 1),
	} {
		got, ok := parseQuantity(in)
		if !ok || got.Cmp(want) != 0 {
			t.Errorf("parseQuantity(%q) = %v, %v; want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "-1", "+1", "1K", "1mi", "1 Mi", "Mi", "1.", ".5", "1e999", "1e", "0x10", "1MB", strings.Repeat("9", 30)} {
		if got, ok := parseQuantity(in); ok {
			t.Errorf("parseQuantity(%q) = %v, want none", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	options := []string{"container", "image", "install", "postinstall", "agentImage", "env", "enable"}
	for in, want := range map[string]string{
		"contaner": "container", "Container": "container", "instal": "install", "evn": "env", "en": "env", "postInstall": "postinstall", "enabled": "enable",
		"frobnicate": "", "x": "", "": "",
	} {
		if got := nearest(in, options); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
	if got := nearest("image", []string{"agentImage"}); got != "agentImage" {
		t.Errorf("nearest(image) = %q, want agentImage", got)
	}
}

func TestIsName(t *testing.T) {
	for in, want := range map[string]bool{
		"a": true, "a-b": true, "0": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, "é": false, strings.Repeat("a", 64): false, "a\n": false,
	} {
		if got := IsName(in); got != want {
			t.Errorf("IsName(%q) = %v, want %v", in, got, want)
		}
	}
}
