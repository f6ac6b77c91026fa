// SPDX-License-Identifier: Apache-2.0

package helper_test

import (
	"net/netip"
	"strings"
	"testing"

	"reconcile/helper"
)

func TestRelayArgs(t *testing.T) {
	for _, port := range []uint16{1, 8080, 65535} {
		if got, err := helper.ParseRelay(helper.RelayArgs(port)); got != port || err != nil {
			t.Errorf("%d: ParseRelay of RelayArgs: %d, %v", port, got, err)
		}
	}
	for args, want := range map[string]string{
		"":            `the arguments are not "relay" and a port`,
		"relay":       `the arguments are not "relay" and a port`,
		"init 1":      `the arguments are not "relay" and a port`,
		"relay 1 2":   `the arguments are not "relay" and a port`,
		"relay 0":     `"0" is no port`,
		"relay 080":   `"080" is no port`,
		"relay -1":    `"-1" is no port`,
		"relay 65536": `"65536" is no port`,
	} {
		if _, err := helper.ParseRelay(strings.Fields(args)); err == nil || err.Error() != want {
			t.Errorf("ParseRelay(%q): error %v, want %q", args, err, want)
		}
	}
}

func TestRelayLine(t *testing.T) {
	for line, want := range map[string]netip.AddrPort{
		"listening\n":             {},
		"from 10.89.0.7:40000\n":  netip.MustParseAddrPort("10.89.0.7:40000"),
		"from [fd00::7]:40000\n":  netip.MustParseAddrPort("[fd00::7]:40000"),
		"from [fe80::7%e]:4000\n": netip.MustParseAddrPort("[fe80::7%e]:4000"),
	} {
		got, err := helper.ParseRelayLine(line)
		if got.From != want || err != nil {
			t.Errorf("ParseRelayLine(%q): %v, %v", line, got.From, err)
		}
		if back := got.String(); back != line || len(back) > helper.MaxRelayLine {
			t.Errorf("String of %q: %q", line, back)
		}
	}
	for _, line := range []string{"", "\n", "listening", "from 10.89.0.7:40000", "from \n", "from 10.89.0.7\n", "from x:1\n", "10.89.0.7:40000\n", "GET / HTTP/1.1\r\n"} {
		if got, err := helper.ParseRelayLine(line); err == nil {
			t.Errorf("ParseRelayLine(%q): %v, and no error", line, got)
		}
	}
}
