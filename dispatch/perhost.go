// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"net"
	"net/netip"
	"sync"
)

// maxPerHost bounds the connections that one address may have at once. A container
// needs one or two; what it opens beyond that is closed, so that none can use up what
// the others need.
const maxPerHost = 64

// perHost is a listener that bounds the connections of each address.
type perHost struct {
	net.Listener

	mu   sync.Mutex
	open map[netip.Addr]int
}

func newPerHost(l net.Listener) *perHost { return &perHost{Listener: l, open: map[netip.Addr]int{}} }

// Accept returns the next connection that is not one too many.
func (p *perHost) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr().String())
		if p.admit(from) {
			return &countedConn{Conn: c, left: sync.OnceFunc(func() { p.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

func (p *perHost) admit(from netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[from] >= maxPerHost {
		return false
	}
	p.open[from]++
	return true
}

func (p *perHost) leave(from netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[from]--; p.open[from] == 0 {
		delete(p.open, from)
	}
}

// countedConn is a connection that counts until it is closed.
type countedConn struct {
	net.Conn
	left func()
}

func (c *countedConn) Close() error {
	defer c.left()
	return c.Conn.Close()
}

// CloseWrite says that nothing more will be written.
func (c *countedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
