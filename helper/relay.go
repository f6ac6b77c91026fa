// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A relay is the helper in a network whose containers cannot reach the host. It
// listens there, dials the socket RelaySocket in the folder RelayDir, which is
// mounted, and begins each connection with a [RelayLine]. The first says that it
// listens, and stays open with nothing more in it until one of both ends; with it
// the relay ends. All others are connections of containers, passed on as they are.
const (
	RelayDir    = "/run/reconcile-relay"
	RelaySocket = RelayDir + "/relay.sock"
	// MaxRelayLine bounds a line in bytes, its end included.
	MaxRelayLine = 128
)

const (
	relayCommand   = "relay"
	relayListening = "listening"
	relayFrom      = "from "
)

// RelayArgs returns the arguments that follow /Agent/agent-server for a relay that
// listens at a port: "relay" and the port. [ParseRelay] is the inverse.
func RelayArgs(port uint16) []string {
	return []string{relayCommand, strconv.FormatUint(uint64(port), 10)}
}

// ParseRelay returns the port whose RelayArgs are args.
func ParseRelay(args []string) (port uint16, err error) {
	if len(args) != 2 || args[0] != relayCommand {
		return 0, fmt.Errorf("the arguments are not %q and a port", relayCommand)
	}
	n, err := strconv.ParseUint(args[1], 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != args[1] {
		return 0, fmt.Errorf("%q is no port", args[1])
	}
	return uint16(n), nil
}

// RelayLine begins a connection of a relay.
type RelayLine struct {
	// From is the remote address of a connection that is passed on. Its zero value:
	// the connection says that the relay listens.
	From netip.AddrPort
}

// String is the line, with its end. [ParseRelayLine] is the inverse.
func (l RelayLine) String() string {
	if l.From == (netip.AddrPort{}) {
		return relayListening + "\n"
	}
	return relayFrom + l.From.String() + "\n"
}

// ParseRelayLine reads a line, with its end.
func ParseRelayLine(line string) (RelayLine, error) {
	text, whole := strings.CutSuffix(line, "\n")
	if whole && text == relayListening {
		return RelayLine{}, nil
	}
	from, ok := strings.CutPrefix(text, relayFrom)
	if !whole || !ok {
		return RelayLine{}, errors.New("it is no line of a relay")
	}
	at, err := netip.ParseAddrPort(from)
	if err != nil {
		return RelayLine{}, fmt.Errorf("line of a relay: %w", err)
	}
	return RelayLine{From: at}, nil
}
