// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// ParsePort reads `P`, `H:C`, `IP:H:C` or `[IPv6]:H:C`, each with an optional
// /tcp or /udp. `P` is published under its own number.
func ParsePort(s string) (Port, error) {
	p := Port{Protocol: "tcp"}
	addr, proto, hasProto := strings.Cut(s, "/")
	if hasProto {
		if p.Protocol = strings.ToLower(proto); p.Protocol != "tcp" && p.Protocol != "udp" {
			return Port{}, fmt.Errorf("the protocol %s is neither tcp nor udp", quoteKey(proto))
		}
	}
	if rest, v6 := strings.CutPrefix(addr, "["); v6 {
		ip, after, closed := strings.Cut(rest, "]:")
		if !closed {
			return Port{}, fmt.Errorf("an IPv6 address is written [IP]:HOST:CONTAINER")
		}
		return p.bound(ip, strings.Split(after, ":"))
	}
	switch parts := strings.Split(addr, ":"); len(parts) {
	case 1:
		return p.numbers([]string{parts[0], parts[0]})
	case 2:
		return p.numbers(parts)
	case 3:
		return p.bound(parts[0], parts[1:])
	}
	return Port{}, fmt.Errorf("%s has too many parts", quoteKey(s))
}

func (p Port) bound(ip string, parts []string) (Port, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Zone() != "" {
		return Port{}, fmt.Errorf("%s is not an IP address", quoteKey(ip))
	}
	p.HostIP = addr.String()
	return p.numbers(parts)
}

func (p Port) numbers(parts []string) (Port, error) {
	if len(parts) != 2 {
		return Port{}, fmt.Errorf("a host port and a container port are needed")
	}
	var err error
	if p.Host, err = portNumber(parts[0]); err != nil {
		return Port{}, err
	}
	p.Container, err = portNumber(parts[1])
	return p, err
}

func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || !isJSONInt(s) {
		return 0, fmt.Errorf("%s is not a port number", quoteKey(s))
	}
	if n < 1 || n > math.MaxUint16 {
		return 0, fmt.Errorf("port %d is not between 1 and 65535", n)
	}
	return uint16(n), nil
}
