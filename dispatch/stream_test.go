// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Each event arrives before the next is made, long after the server's own
// deadlines.
func TestEventStream(t *testing.T) {
	w := newWorld(t, nil)
	w.within = serverDeadline
	next := make(chan struct{})
	w.serve("web", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for i := range 3 {
			fmt.Fprintf(rw, "data: %d\n\n", i)
			_ = http.NewResponseController(rw).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	res := w.do("GET", "/mcps/web/events", nil, "Accept", "text/event-stream")
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) || !lines.Scan() {
			t.Fatalf("event %d: %q, %v", i, lines.Text(), lines.Err())
		}
		time.Sleep(serverDeadline)
		next <- struct{}{}
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the last event: %q, %v", lines.Text(), lines.Err())
	}
}

// upgrade asks for a WebSocket by hand, and returns the connection once it is one.
func (w *world) upgrade(path string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.server.URL, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Sec-WebSocket-Accept") != "accepted" {
		w.t.Fatalf("%s %v", res.Status, res.Header)
	}
	return c, r
}

// echoUpgraded answers an upgrade with what it gets, byte for byte, and says when
// the connection ended.
func echoUpgraded(ended chan<- struct{}) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Sec-WebSocket-Key") == "" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			http.Error(rw, "no WebSocket", http.StatusBadRequest)
			return
		}
		c, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer func() { ended <- struct{}{} }()
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: accepted\r\n\r\n")
		_, _ = io.Copy(c, buf)
	}
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t, nil)
	w.within = serverDeadline
	ended := make(chan struct{}, 1)
	w.serve("web", echoUpgraded(ended))
	c, r := w.upgrade("/mcps/web/socket")
	for i := range 3 {
		frame := string([]byte{0x82, 0x03, byte(i), 0, 255})
		io.WriteString(c, frame)
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != frame {
			t.Fatalf("frame %d: %q, %v", i, got, err)
		}
		time.Sleep(serverDeadline / 2)
	}
	c.Close()
	<-ended // the instance is told that the client went away

	// A container that stops takes its connections along.
	at := w.serve("web", echoUpgraded(ended))
	_, r = w.upgrade("/mcps/web/socket")
	w.router.Keep(func(x Target) bool { return x != at })
	if b, err := io.ReadAll(r); len(b) > 0 {
		t.Errorf("read %q, %v", b, err)
	}
	<-ended

	// What refuses to be upgraded says so itself.
	w.serve("plain", func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusUpgradeRequired) })
	res := w.do("GET", "/mcps/plain/x", nil, "Connection", "Upgrade", "Upgrade", "websocket")
	if text := w.text(res); res.StatusCode != http.StatusUpgradeRequired || text != "no\n" {
		t.Errorf("%s %q", res.Status, text)
	}
}

// noise is size bytes that nobody has to keep.
func noise(size int64) (io.Reader, hash.Hash) {
	sum := sha256.New()
	return io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sum), sum
}

// A large body goes through both ways at once, so no part of it waits for the
// whole, and slower than the server's own deadlines.
func TestLargeBodies(t *testing.T) {
	const size = 100 << 20
	w := newWorld(t, nil)
	half := make(chan struct{})
	w.serve("web", func(rw http.ResponseWriter, r *http.Request) {
		up := sha256.New()
		if n, err := io.CopyN(up, r.Body, size/2); err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
		close(half)
		if _, err := io.Copy(up, r.Body); err != nil {
			t.Error(err)
		}
		body, _ := noise(size)
		rw.Header().Set("X-Sum", fmt.Sprintf("%x", up.Sum(nil)))
		_, _ = io.Copy(rw, body)
	})
	body, sum := noise(size)
	first, rest := io.LimitReader(body, size/2), body
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.Copy(pw, first)
		<-half // the instance has all of it before there is more
		time.Sleep(2 * serverDeadline)
		_, err := io.Copy(pw, rest)
		pw.CloseWithError(err)
	}()
	res := w.do("PUT", "/mcps/web/upload", pr)
	if got, want := res.Header.Get("X-Sum"), fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		t.Errorf("the instance got %s, want %s", got, want)
	}
	down := sha256.New()
	_, _ = io.CopyN(down, res.Body, size/2)
	time.Sleep(2 * serverDeadline)
	if _, err := io.Copy(down, res.Body); err != nil {
		t.Fatal(err)
	}
	if got, want := down.Sum(nil), sum.Sum(nil); string(got) != string(want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// A client that goes away ends its request at the instance, before the answer has
// begun, in its middle, and in the middle of its own body.
func TestClientGone(t *testing.T) {
	w := newWorld(t, nil)
	entered, ended := make(chan struct{}), make(chan struct{})
	w.serve("web", func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/mcp/answering":
			io.WriteString(rw, "begun")
			_ = http.NewResponseController(rw).Flush()
		case "/mcp/reading":
			_, _ = io.CopyN(io.Discard, r.Body, 5)
		}
		entered <- struct{}{}
		if r.URL.Path == "/mcp/reading" {
			if _, err := io.ReadAll(r.Body); err == nil {
				t.Error("a body that was cut reads as a whole one")
			}
		} else {
			<-r.Context().Done()
		}
		ended <- struct{}{}
	})
	for _, path := range []string{"waiting", "answering", "reading"} {
		ctx, cancel := context.WithCancel(t.Context())
		var body io.Reader
		pr, pw := io.Pipe()
		if path == "reading" {
			body = pr
			go io.WriteString(pw, "begun")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+"/mcps/web/"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if res, err := w.client.Do(req); err == nil {
				_, _ = io.ReadAll(res.Body)
				res.Body.Close()
			}
		}()
		<-entered
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("%s: the request goes on without its client", path)
		}
		pw.Close()
		<-done
	}
}

// The end of a router cuts what would go on for ever, and lets the rest finish.
func TestEnd(t *testing.T) {
	w := newWorld(t, nil)
	ended, entered, release := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	w.serve("socket", echoUpgraded(ended))
	w.serve("events", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	w.serve("short", func(rw http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		io.WriteString(rw, "done")
	})
	_, r := w.upgrade("/mcps/socket/x")
	events := w.do("GET", "/mcps/events/x", nil)
	text := make(chan string)
	go func() { text <- w.text(w.do("GET", "/mcps/short/x", nil)) }()
	<-entered

	stopped := make(chan struct{})
	go func() { w.stop(); close(stopped) }()
	_, _ = io.ReadAll(r)
	<-ended
	if _, err := io.ReadAll(events.Body); err == nil {
		t.Error("a stream that was cut ends as if it were whole")
	}
	w.failure(w.do("GET", "/mcps/short/x", nil), 503, CodeNotReady)
	select {
	case <-stopped:
		t.Error("the router ended before its requests")
	default:
	}
	close(release)
	if got := <-text; got != "done" {
		t.Errorf("got %q", got)
	}
	<-stopped
}
