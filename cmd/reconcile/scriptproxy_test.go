// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// readingCommands never write at Podman, whatever they are told; those that
// take --dry-run do not with it.
var readingCommands = []string{"validate", "status", "graph", "why", "logs", "history", "schema", "version", "vars"}

// reads reports whether a run of reconcile must change nothing.
func reads(args []string) bool {
	return slices.Contains(args, "--dry-run") || len(args) > 0 && slices.Contains(readingCommands, args[0])
}

// lookout is a service in front of Podman's that lets nothing pass but GET and
// HEAD, and remembers what else was tried.
type lookout struct {
	service string // the URL that it stands in front of
	socket  string
	server  *http.Server
	served  chan struct{}

	mu    sync.Mutex
	tried []string
	asked int
}

// newLookout starts a lookout before the service at a unix:// URL.
func newLookout(service string) (*lookout, error) {
	dir, err := os.MkdirTemp("", "look") // a socket's path is at most 108 bytes
	if err != nil {
		return nil, err
	}
	l := &lookout{service: service, socket: filepath.Join(dir, "p.sock"), served: make(chan struct{})}
	listener, err := net.Listen("unix", l.socket)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "podman"})
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(service, "unix://"))
		}},
	}
	l.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.asked++
		l.mu.Unlock()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			l.mu.Lock()
			l.tried = append(l.tried, r.Method+" "+r.URL.Path)
			l.mu.Unlock()
			http.Error(w, "this is only to be looked at", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() {
		defer close(l.served)
		_ = l.server.Serve(listener)
	}()
	return l, nil
}

func (l *lookout) close() {
	l.server.Close()
	<-l.served
	os.RemoveAll(filepath.Dir(l.socket))
}

// take returns how often the service was asked and what was tried that writes,
// since the last take.
func (l *lookout) take() (asked int, tried []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked, tried = l.asked, l.tried
	l.asked, l.tried = 0, nil
	return asked, tried
}

// watched runs f with a lookout in the place of the script's service.
func (s *script) watched(ts *testscript.TestScript, f func()) {
	service := ts.Getenv("CONTAINER_HOST")
	path, isUnix := strings.CutPrefix(service, "unix://")
	if _, err := os.Stat(path); !isUnix || err != nil {
		f() // there is no service to stand in front of
		return
	}
	if s.lookout == nil || s.lookout.service != service {
		l, err := newLookout(service)
		ts.Check(err)
		s.lookout = l
		ts.Defer(l.close)
	}
	ts.Setenv("CONTAINER_HOST", "unix://"+s.lookout.socket)
	f()
	ts.Setenv("CONTAINER_HOST", service)
	asked, tried := s.lookout.take()
	s.looked += asked
	if len(tried) > 0 {
		ts.Fatalf("a command that only reads tried to write at Podman:\n%s", strings.Join(tried, "\n"))
	}
}

// lookedCmd checks that reading commands of the script so far went through the
// lookout, so that it is known to have stood in the right place: looked
func lookedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: looked")
	}
	if scriptOf(ts).looked == 0 {
		ts.Fatalf("no command asked Podman for anything")
	}
	fmt.Fprintln(ts.Stdout(), scriptOf(ts).looked)
}
