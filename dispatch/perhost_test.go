// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"net"
	"testing"
)

// One address cannot use up what others need, and has its connections back when it
// closes some.
func TestPerHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newPerHost(l)
	accepted := make(chan net.Conn, 2*maxPerHost)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var opened []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
		for _, c := range opened {
			_ = c.Close()
		}
	})
	dial := func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, c)
		return c
	}
	var first net.Conn
	for i := range maxPerHost {
		dial("127.0.0.1")
		if c := <-accepted; i == 0 {
			first = c
		}
	}
	if n, err := dial("127.0.0.1").Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("one too many is answered")
	}
	dial("127.0.0.2")
	other := <-accepted
	if got := addressOf(other.RemoteAddr().String()).String(); got != "127.0.0.2" {
		t.Errorf("the connection is that of %s", got)
	}
	for range 2 { // it counts once
		_ = first.Close()
	}
	dial("127.0.0.1")
	<-accepted
	if n, err := dial("127.0.0.1").Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("one too many is answered after another one ended")
	}
}
