// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// Options say where a [Router] sends requests. Table and Address are required.
type Options struct {
	// Table returns what is known of the instances now. It is called for each
	// request.
	Table func() Table
	// Address returns the host:port at which a target answers. It is asked once
	// for as long as connections there succeed.
	Address func(ctx context.Context, t Target) (string, error)
	// KeepAuthorization passes on the header of that name; otherwise it is meant
	// for who runs the router.
	KeepAuthorization bool
	// DialTimeout bounds finding and reaching an instance; 0 = 5 s.
	DialTimeout time.Duration
	Log         *slog.Logger // nil = none
}

// Router brings requests to instances. Its methods may be called from any
// goroutine.
type Router struct {
	opt   Options
	proxy *httputil.ReverseProxy

	mu        sync.Mutex
	upstreams map[Target]*upstream
	ended     bool
	serving   sync.WaitGroup

	ending context.Context // ends what would go on for ever
	end    context.CancelFunc
}

// New returns a router. [Router.Run] ends it.
func New(o Options) *Router {
	if o.DialTimeout <= 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Router{opt: o, upstreams: map[Target]*upstream{}}
	r.ending, r.end = context.WithCancel(context.Background())
	r.proxy = &httputil.ReverseProxy{
		Rewrite: r.rewrite, Transport: transport{}, ModifyResponse: r.answered, ErrorHandler: r.failed,
		FlushInterval: -1, BufferPool: &buffers{},
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return r
}

// Run returns when ctx has ended and every request as well. Streams and upgraded
// connections are cut then; other requests end by themselves, or when their
// server cuts them.
func (r *Router) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.end()
	r.serving.Wait()
	r.Keep(func(Target) bool { return false })
	return nil
}

// ServeHTTP answers a request that [Handles] is about.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if !r.begin() {
		answer(w, http.StatusServiceUnavailable, problem{Code: CodeNotReady, Error: "the router is ending"}, time.Second)
		return
	}
	defer r.serving.Done()
	name, path, err := split(req.URL)
	switch {
	case err != nil:
		answer(w, http.StatusBadRequest, problem{Code: CodePath, Error: err.Error()}, 0)
		return
	case name == "":
		r.list(w, req)
		return
	}
	table := r.opt.Table()
	route, ok := table[name]
	switch {
	case table == nil:
		answer(w, http.StatusServiceUnavailable, problem{Code: CodeNotReady, Instance: name, Error: "it is not known yet which instances there are"}, time.Second)
	case !ok:
		answer(w, http.StatusNotFound, problem{Code: CodeUnknown, Instance: name, Error: fmt.Sprintf("there is no instance %q", name)}, 0)
	case !route.Ready:
		answer(w, http.StatusServiceUnavailable, problem{
			Code: CodeNotReady, Instance: name, State: route.State, Error: notReady(name, route),
		}, max(route.Retry, time.Second))
	default:
		r.forward(w, req, name, path, route)
	}
}

func notReady(name string, route Route) string {
	if route.Reason == "" {
		return name + " is not ready"
	}
	return name + " is not ready: " + route.Reason
}

// begin counts a request, unless the router has ended.
func (r *Router) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return false
	}
	r.serving.Add(1)
	return true
}

// forward has an instance answer. The deadlines of the server are for what it
// answers itself.
func (r *Router) forward(w http.ResponseWriter, req *http.Request, name, path string, to Route) {
	ctl := http.NewResponseController(w)
	_ = ctl.SetReadDeadline(time.Time{}) // where there is none, none has to go
	_ = ctl.SetWriteDeadline(time.Time{})

	up := r.upstream(to)
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	defer context.AfterFunc(up.gone, func() { cancel(errGone) })()
	address, err := up.find(ctx)
	if err != nil {
		r.failed(w, req.WithContext(ctx), err)
		return
	}
	p := &passage{instance: name, path: path, address: address, up: up, cancel: cancel}
	r.proxy.ServeHTTP(w, req.WithContext(context.WithValue(ctx, passageKey{}, p)))
}

// passage is one request on its way.
type passage struct {
	instance string
	path     string // at the instance, escaped
	address  string
	up       *upstream
	cancel   context.CancelCauseFunc
}

type passageKey struct{}

func passageOf(req *http.Request) *passage {
	p, _ := req.Context().Value(passageKey{}).(*passage)
	return p
}

var (
	errGone   = errors.New("the container has stopped")
	errEnding = errors.New("the router is ending")
)
