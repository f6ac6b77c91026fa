// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"net/netip"
	"strings"
	"testing"
)

// A relay asks for the last addresses of its subnets, where there are some.
func TestRelayAddresses(t *testing.T) {
	for _, c := range []struct{ subnets, want string }{
		{"10.89.0.0/24 10.89.0.1", "10.89.0.254"},
		{"10.89.0.0/16 10.89.0.1", "10.89.255.254"},
		{"10.89.0.64/29 10.89.0.65", "10.89.0.70"},
		{"10.89.0.64/30 10.89.0.65", ""},
		{"10.89.0.0/24 10.89.0.254", ""},
		{"fd00:1:2:3::/64 fd00:1:2:3::1", "fd00:1:2:3:ffff:ffff:ffff:fffe"},
		{"fd00::/127 fd00::1", ""},
	} {
		prefix, gateway, _ := strings.Cut(c.subnets, " ")
		s := subnet{netip.MustParsePrefix(prefix), netip.MustParseAddr(gateway)}
		if got := relayText(relayAddresses([]subnet{s})); got != c.want {
			t.Errorf("%s: %q, want %q", c.subnets, got, c.want)
		}
	}
}
