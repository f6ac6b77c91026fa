// SPDX-License-Identifier: Apache-2.0

package dispatchtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"reconcile/reconcile/plan"
)

// network is one in memory: a listener of the host's, at two addresses.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

// Where the host is in every network.
const (
	hostV4 = "10.0.0.1:80"
	hostV6 = "[fd00::1]:80"
)

// Listen is a method of dispatch.Runtime.
func (m *Memory) Listen(_ context.Context, name string) ([]net.Listener, []netip.AddrPort, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fault("Listen", plan.Launch{}); err != nil {
		return nil, nil, err
	}
	n := &network{conns: make(chan net.Conn), closed: make(chan struct{})}
	if m.networks == nil {
		m.networks = map[string]*network{}
	}
	m.networks[name] = n
	at := []netip.AddrPort{netip.MustParseAddrPort(hostV4)}
	if m.IPv6 {
		at = append(at, netip.MustParseAddrPort(hostV6))
	}
	return []net.Listener{n}, at, nil
}

// Accept implements [net.Listener].
func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (n *network) Close() error {
	n.close.Do(func() { close(n.closed) })
	return nil
}

// Addr implements [net.Listener].
func (n *network) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(hostV4)) }

// dial connects to the host from an address.
func (n *network) dial(ctx context.Context, from netip.Addr) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case n.conns <- &conn{theirs, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 40000))}:
		return ours, nil
	case <-n.closed:
		return nil, fmt.Errorf("dial: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type conn struct {
	net.Conn
	from net.Addr
}

func (c *conn) RemoteAddr() net.Addr { return c.from }

// CloseNetwork has the host no longer heard in a network, as when that is made anew.
func (m *Memory) CloseNetwork(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.networks[name]; n != nil {
		_ = n.Close()
	}
}

// From sends a request to the host from an address in a network, as a process there
// would.
func (m *Memory) From(ctx context.Context, name string, from netip.Addr, req *http.Request) (Response, error) {
	m.mu.Lock()
	n := m.networks[name]
	m.mu.Unlock()
	if n == nil {
		return Response{}, fmt.Errorf("nobody listens in the network %q", name)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx, from) },
	}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req.WithContext(ctx))
	if err != nil {
		return Response{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return Response{Status: res.StatusCode, Header: res.Header, Body: string(b)}, err
}

// client makes the requests of a process, until it is killed.
func (m *Memory) client(c *container) func(method, url, contentType string, body io.Reader, header ...string) (Response, error) {
	return func(method, url, contentType string, body io.Reader, header ...string) (Response, error) {
		ctx, cancel := context.WithCancel(context.Background())
		stop := make(chan struct{})
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			select {
			case <-c.kill:
			case <-stop:
			}
			cancel()
		}()
		defer func() { close(stop); <-watching }()
		req, err := http.NewRequestWithContext(ctx, method, url, body)
		if err != nil {
			return Response{}, err
		}
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if len(c.address) == 0 {
			return Response{}, fmt.Errorf("the container has no network")
		}
		return m.From(ctx, c.launch.Spec.Network, c.address[0], req)
	}
}
