// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// rewrite makes the request that an instance gets. The proxy has dropped what
// belongs to one connection, and what the client said of forwarding.
func (r *Router) rewrite(pr *httputil.ProxyRequest) {
	p := passageOf(pr.In)
	u := &url.URL{Scheme: "http", Host: p.address, RawPath: p.path, RawQuery: pr.In.URL.RawQuery, ForceQuery: pr.In.URL.ForceQuery}
	if plain, err := url.PathUnescape(p.path); err == nil {
		u.Path = plain
	}
	pr.Out.URL = u
	pr.Out.Host = p.address
	pr.SetXForwarded()
	if pr.In.Header.Get("Origin") != "" {
		// Whoever let the request in has found the page to be of this very host. To
		// the instance that is its own.
		pr.Out.Header.Set("Origin", "http://"+p.address)
	}
	if !r.opt.KeepAuthorization {
		pr.Out.Header.Del("Authorization")
	}
}

// answered is told of the header of an answer, before it goes out.
func (r *Router) answered(res *http.Response) error {
	p := passageOf(res.Request)
	res.Header.Del(ErrorHeader)
	if to := res.Header.Get("Location"); to != "" {
		res.Header.Set("Location", relocate(to, p.address, p.instance))
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode == http.StatusSwitchingProtocols || kind == "text/event-stream" {
		stop := context.AfterFunc(r.ending, func() { p.cancel(errEnding) })
		context.AfterFunc(res.Request.Context(), func() { stop() })
	}
	return nil
}

// failed answers for an instance that did not.
func (r *Router) failed(w http.ResponseWriter, req *http.Request, err error) {
	cause := context.Cause(req.Context())
	var timeout net.Error
	switch {
	case errors.Is(cause, errGone), errors.Is(cause, errEnding):
		err = cause
	case cause != nil:
		return // nobody is there to be answered
	case errors.As(err, &timeout) && timeout.Timeout():
		err = errors.New("it did not answer in time")
	case refused(err) != nil:
		err = fmt.Errorf("nothing answers at its port: %w", refused(err).Err)
	}
	name := ""
	if p := passageOf(req); p != nil {
		name = p.instance
	} else {
		name, _, _ = split(req.URL)
	}
	r.opt.Log.Debug("request failed", "instance", name, "err", err)
	answer(w, http.StatusBadGateway, problem{Code: CodeFailed, Instance: name, Error: name + ": " + err.Error()}, 0)
}

// transport sends a request over the connections of its own upstream.
type transport struct{}

func (transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := passageOf(req)
	res, err := p.up.transport.RoundTrip(req)
	if err != nil {
		p.up.doubt(p.address, err)
	}
	return res, err
}

// upstream is the way to one target.
type upstream struct {
	target    Target
	locate    func(context.Context, Target) (string, error)
	within    time.Duration
	transport *http.Transport

	finding chan struct{} // holds one while somebody looks the address up
	mu      sync.Mutex
	address string // "" = not known

	gone context.Context // ends when the target does
	drop context.CancelFunc
}

func (r *Router) upstream(to Route) *upstream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if up := r.upstreams[to.Target]; up != nil {
		return up
	}
	up := &upstream{target: to.Target, locate: r.opt.Address, within: r.opt.DialTimeout, finding: make(chan struct{}, 1)}
	up.transport = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: r.opt.DialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		ResponseHeaderTimeout: to.AnswerTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConnsPerHost:   16,
		DisableCompression:    true,
		Protocols:             new(http.Protocols),
	}
	up.transport.Protocols.SetHTTP1(true)
	up.gone, up.drop = context.WithCancel(context.Background())
	r.upstreams[to.Target] = up
	return up
}

// Keep forgets the targets that have ended; live reports whether one has not.
// Requests that are under way there fail. Live must not block.
func (r *Router) Keep(live func(Target) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, up := range r.upstreams {
		if live(t) {
			continue
		}
		delete(r.upstreams, t)
		up.drop()
		up.transport.CloseIdleConnections()
	}
}

// find returns the address of the target.
func (u *upstream) find(ctx context.Context) (string, error) {
	if a := u.known(); a != "" {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, u.within)
	defer cancel()
	select {
	case u.finding <- struct{}{}:
		defer func() { <-u.finding }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if a := u.known(); a != "" {
		return a, nil
	}
	a, err := u.locate(ctx, u.target)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.address = a
	return a, nil
}

func (u *upstream) known() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.address
}

// doubt forgets an address at which nobody could be reached.
func (u *upstream) doubt(address string, err error) {
	if refused(err) == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.address == address {
		u.address = ""
	}
}

// refused is the error as one of a connection that could not be made; nil = it is
// another.
func refused(err error) *net.OpError {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op
	}
	return nil
}

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *buffers) Put(buf []byte) {
	if len(buf) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(buf))
	}
}
