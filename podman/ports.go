// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"reconcile/reconcile/plan"
)

// Of this range, up to where the kernel takes ports for connections that go out,
// host ports are chosen: Podman would choose among those of the kernel, any of which
// may be in use by the time the container starts.
const (
	firstPort     = 20000
	ephemeralPort = 32768 // where the kernel does not say
	portTries     = 64
)

// choosePorts fills in the host ports that are left to us. One for which none is
// found, as on another host, is left to Podman.
func (r *Runtime) choosePorts(ports []plan.Port) []plan.Port {
	if r.remote {
		return ports
	}
	ports = slices.Clone(ports)
	for i, p := range ports {
		if p.HostPort == 0 {
			ports[i].HostPort = r.choosePort(p)
		}
	}
	return ports
}

func (r *Runtime) choosePort(p plan.Port) uint16 {
	end := firstEphemeral()
	if end <= firstPort {
		return 0
	}
	for range portTries {
		port := uint16(firstPort + rand.IntN(end-firstPort))
		if r.claim(port) && free(p.HostIP, port, p.Protocol) {
			return port
		}
	}
	return 0
}

// claim reports whether a port was not tried yet: another container that is being
// made may be about to take it.
func (r *Runtime) claim(port uint16) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claimed[port] {
		return false
	}
	r.claimed[port] = true
	return true
}

// firstEphemeral is the first port that the kernel takes for connections.
func firstEphemeral() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return ephemeralPort
	}
	var low, high int
	if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
		return ephemeralPort
	}
	return low
}

// free reports whether nobody listens at a port of this host.
func free(ip string, port uint16, protocol string) bool {
	if addr, err := netip.ParseAddr(ip); err == nil && addr.IsUnspecified() {
		ip = ""
	}
	var l io.Closer
	var err error
	address := net.JoinHostPort(ip, strconv.Itoa(int(port)))
	if protocol == "udp" {
		l, err = new(net.ListenConfig).ListenPacket(context.Background(), "udp", address)
	} else {
		l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	}
	if err != nil {
		return false
	}
	return l.Close() == nil
}
