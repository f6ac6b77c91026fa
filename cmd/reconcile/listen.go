// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"reconcile/dispatch"
)

// listenFlags say where a daemon answers HTTP.
type listenFlags struct {
	addr      string
	hosts     []string
	tokenFile string

	routeTimeouts routeTimeouts
}

func (f *listenFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.addr, "listen", "127.0.0.1:8088", "`address` of the router (/mcps/), TaskAgents (/agents/), /healthz, /readyz and /metrics; port 0 takes a free one, off none")
	fs.StringArrayVar(&f.hosts, "listen-host", nil, "another `name` under which --listen is reached; may be repeated")
	fs.StringVar(&f.tokenFile, "listen-token-file", "", "`file` with the token that --listen asks for; needed off loopback")
	f.routeTimeouts.all = defaultRouteTimeout
	fs.Var(&f.routeTimeouts, "route-timeout", "how long agents, or the one called NAME, may take until their answer to a routed request begins (0: as long as they like); may be repeated")
}

func (f *listenFlags) check() error {
	if f.off() {
		return nil
	}
	return checkAddress("--listen", f.addr, "127.0.0.1:8088, or off")
}

func (f *listenFlags) off() bool { return f.addr == "" || f.addr == "off" }

// checkAddress returns an error unless one could listen on what a flag says; like is
// what it could say.
func checkAddress(flag, addr, like string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is no address to listen on: want ADDRESS:PORT, such as %s", flag, addr, like)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%s: %q is no port: want a number from 0, which takes a free one, to 65535", flag, port)
	}
	return nil
}

// errListen is why nobody can listen on what a flag says.
func errListen(flag, addr string, err error) error {
	if unknown, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("%s %s: the address of %s cannot be looked up: %s", flag, addr, unknown.Name, unknown.Err)
	}
	return fmt.Errorf("%s: %w", flag, err)
}

// minToken is how many characters a token has at least.
const minToken = 16

// answers are what a daemon answers over HTTP.
type answers struct {
	alive   func(context.Context) error
	ready   func() error // nil = ready
	metrics http.Handler
	router  http.Handler // of what dispatch.Handles
	agents  http.Handler // of requests for TaskAgents
}

// listenHTTP opens the listener and returns the server to run on it; both are
// nil where none is wanted.
func (a *app) listenHTTP(ctx context.Context, p answers) (*http.Server, net.Listener, error) {
	f := a.listen
	if f.off() {
		if f.tokenFile != "" || len(f.hosts) > 0 {
			return nil, nil, errors.New("--listen-token-file and --listen-host need --listen")
		}
		return nil, nil, nil
	}
	g := guard{}
	if f.tokenFile != "" {
		token, err := readSecretFile(f.tokenFile)
		if err == nil && len(token) < minToken {
			err = fmt.Errorf("%s has fewer than %d characters", f.tokenFile, minToken)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the token for --listen: %w", err)
		}
		g.token = sha256.Sum256(token)
		g.asks = true
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", f.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, nil, fmt.Errorf("--listen: %w; --listen 127.0.0.1:0 takes a free port, --listen off none", err)
	}
	if err != nil {
		return nil, nil, errListen("--listen", f.addr, err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	if !at.IsLoopback() && !g.asks {
		l.Close()
		return nil, nil, fmt.Errorf("--listen %s can be reached from other hosts: it needs --listen-token-file", f.addr)
	}
	g.names, g.anyIP = f.hosts, at.IsUnspecified()
	if !at.IsUnspecified() {
		g.names = append(slices.Clone(g.names), at.String())
	}
	if host, _, err := net.SplitHostPort(f.addr); err == nil && host != "" {
		g.names = append(g.names, host)
	}
	// The deadlines are for what is answered here. The router and a dispatcher have
	// their own: once the header of a request is there, it may be one that takes hours.
	server := &http.Server{
		Handler:           g.wrap(p.handler()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	return server, l, nil
}

func (p answers) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		answer(w, "alive", p.alive(ctx))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, "ready", p.ready()) })
	mux.Handle("GET /metrics", p.metrics)
	return dispatch.Ingress{System: mux, Router: p.router, Agents: p.agents}
}

// answer writes {"ready":true}, or 503 with the reason why not.
func answer(w http.ResponseWriter, what string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body := map[string]any{what: err == nil}
	if err != nil {
		body["reason"] = err.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body)
}

// guard keeps out what a browser was made to send, and who does not know the
// token.
type guard struct {
	names []string // of this listener, besides loopback's
	anyIP bool     // it listens on all addresses: each is its own
	asks  bool
	token [sha256.Size]byte // hash
}

func (g guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.ours(r.Host):
			// A name that was made to lead here is not one of ours.
			dispatch.Refuse(w, http.StatusMisdirectedRequest, "this listener does not answer to that name; --listen-host adds one")
		case !g.fromHere(r):
			dispatch.Refuse(w, http.StatusForbidden, "requests of other sites are refused")
		case g.asks && !g.knows(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="reconcile"`)
			dispatch.Refuse(w, http.StatusUnauthorized, "a token is needed")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ours reports whether host, with or without a port, is a name of this
// listener.
func (g guard) ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if strings.EqualFold(host, "localhost") || slices.ContainsFunc(g.names, func(n string) bool { return strings.EqualFold(n, host) }) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (g.anyIP || ip.Unmap().IsLoopback())
}

func (g guard) fromHere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

func (g guard) knows(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(got[:], g.token[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
