// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"reconcile/helper"
)

const (
	// relayHello bounds what a connection of a relay takes to say what it is.
	relayHello = 10 * time.Second
	// relayStart bounds the start of a relay.
	relayStart = time.Minute
	// relayRemoval bounds its removal.
	relayRemoval = time.Minute
	// relayMaxWait is the longest time between two tries to have it again.
	relayMaxWait = 10 * time.Second
)

// relay is a listener in a network: a helper of ours there passes connections on to
// a socket here. A relay that ends is made again. It implements net.Listener.
type relay struct {
	r      *Runtime
	h      hearing
	key    string // names its folder and its container
	dir    string // of its socket
	socket *net.UnixListener
	wanted []netip.Addr // that it asks for; nil = any
	at     []netip.Addr // that it has

	handle   string // of its container, "" = none; its keeper's
	controls chan net.Conn
	conns    chan net.Conn

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup
	closing sync.Once
	failed  error // of Close
}

// listenRelayed has a relay in the network, and returns once that listens.
func (r *Runtime) listenRelayed(ctx context.Context, h hearing, subnets []subnet) ([]net.Listener, []netip.AddrPort, error) {
	if h.port == 0 {
		h.port = firstPort // nobody else is where the relay is
	}
	l, err := r.newRelay(h, subnets)
	if err != nil {
		return nil, nil, fmt.Errorf("listen in the network %s: %w", h.network, err)
	}
	l.running.Go(l.serve)
	control, err := l.place(ctx)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("relay in the network %s: %w", h.network, err), l.Close())
	}
	var at []netip.AddrPort
	for _, a := range l.at {
		at = append(at, netip.AddrPortFrom(a, h.port))
	}
	l.running.Go(func() { l.keep(control) })
	return []net.Listener{l}, at, nil
}

// newRelay opens the socket.
func (r *Runtime) newRelay(h hearing, subnets []subnet) (*relay, error) {
	if r.opt.RunDir == "" {
		return nil, errors.New("there is no folder for sockets")
	}
	l := &relay{
		r: r, h: h, key: relayKey(h),
		controls: make(chan net.Conn), conns: make(chan net.Conn), wanted: relayAddresses(subnets),
	}
	l.dir = filepath.Join(r.opt.RunDir, "relay-"+l.key)
	l.life, l.end = context.WithCancel(context.Background())
	if err := os.MkdirAll(r.opt.RunDir, 0o700); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		return nil, err
	}
	at := filepath.Join(l.dir, path.Base(helper.RelaySocket))
	if len(at) > maxSocketPath {
		return nil, fmt.Errorf("the path of the socket %s is too long: at most %d bytes", at, maxSocketPath)
	}
	var err error
	l.socket, err = net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	return l, err
}

// Accept returns connections of containers, by their own addresses.
func (l *relay) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.life.Done():
		return nil, net.ErrClosed
	}
}

// Addr is that of the socket.
func (l *relay) Addr() net.Addr { return l.socket.Addr() }

// Close removes the relay, and all that was made for it.
func (l *relay) Close() error {
	l.closing.Do(func() {
		l.end()
		err := l.socket.Close()
		l.running.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), relayRemoval)
		defer cancel()
		l.failed = errors.Join(err, l.remove(ctx), os.RemoveAll(l.dir))
	})
	return l.failed
}

// serve takes what connects to the socket.
func (l *relay) serve() {
	for {
		conn, err := l.socket.Accept()
		switch {
		case l.life.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return
		case err != nil:
			time.Sleep(reportPause) // out of descriptors, perhaps
		default:
			l.running.Go(func() { l.take(conn) })
		}
	}
}

// take hands a connection on to whom it is for.
func (l *relay) take(conn net.Conn) {
	end := context.AfterFunc(l.life, func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(relayHello))
	in := bufio.NewReaderSize(conn, helper.MaxRelayLine)
	text, err := in.ReadSlice('\n')
	line, bad := helper.ParseRelayLine(string(text))
	_ = conn.SetReadDeadline(time.Time{})
	if err != nil || bad != nil || !end() {
		_ = conn.Close()
		return
	}
	to, given := l.controls, conn
	if line.From.IsValid() {
		to, given = l.conns, &relayConn{Conn: conn, in: in, from: net.TCPAddrFromAddrPort(line.From)}
	}
	select {
	case to <- given:
	case <-l.life.Done():
		_ = conn.Close()
	}
}

// keep has the relay made again whenever it ends.
func (l *relay) keep(control net.Conn) {
	for {
		end := context.AfterFunc(l.life, func() { _ = control.Close() })
		_, _ = io.Copy(io.Discard, control)
		end()
		_ = control.Close()
		for wait := 100 * time.Millisecond; ; wait = min(2*wait, relayMaxWait) {
			if l.life.Err() != nil {
				return
			}
			var err error
			if control, err = l.place(l.life); err == nil {
				l.h.log.Warn("the relay of a network had ended, and was made again", "network", l.h.network)
				break
			}
			l.h.log.Warn("the relay of a network is gone: no execution there reaches the metadata service", "network", l.h.network, "err", err, "again", wait)
			if !pause(l.life, wait) {
				return
			}
		}
	}
}

// relayConn is a connection that a relay passes on.
type relayConn struct {
	net.Conn
	in   *bufio.Reader // holds what came with the first line
	from net.Addr
}

func (c *relayConn) Read(p []byte) (int, error) {
	if c.in.Buffered() > 0 {
		return c.in.Read(p)
	}
	return c.Conn.Read(p)
}

// RemoteAddr is the address of the container.
func (c *relayConn) RemoteAddr() net.Addr { return c.from }

// CloseWrite says that nothing more will be written.
func (c *relayConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// relayAddresses are the last ones of the subnets, which Podman gives to nobody
// before all others are used: a relay that is made again, tomorrow too, has them.
func relayAddresses(subnets []subnet) []netip.Addr {
	var out []netip.Addr
	for _, s := range subnets {
		b := s.prefix.Addr().AsSlice()
		bits := s.prefix.Bits()
		if len(b)*8-bits < 3 {
			return nil
		}
		for i := range b {
			for bit := range 8 {
				if i*8+bit >= bits {
					b[i] |= 0x80 >> bit
				}
			}
		}
		b[len(b)-1]-- // the very last is for broadcasts
		a, _ := netip.AddrFromSlice(b)
		if a == s.gateway {
			return nil
		}
		out = append(out, a)
	}
	return out
}

func relayText(a []netip.Addr) string {
	var out []string
	for _, x := range a {
		out = append(out, x.String())
	}
	return strings.Join(out, ", ")
}
