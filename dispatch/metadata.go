// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"reconcile/reconcile/plan"
)

// The variables of the metadata service.
const (
	MetadataEnv   = "CLRK_METADATA_URL"
	MetadataEnvV6 = "CLRK_METADATA_URL_V6"
)

// metadataVersion ends the URL that an execution is given.
const metadataVersion = "/v1"

// DaemonPath is where at the metadata service a DaemonAgent is told that it has no
// event and no reply: the path of its URL.
const DaemonPath = "/daemon" + metadataVersion

// metadata is the service at which executions get their events. Each container has
// a door of its own there: a path that nobody can guess, open to it alone.
type metadata struct {
	opt DispatcherOptions

	mu       sync.Mutex
	networks map[string]*outlet
	doors    map[string]*door // by token
	serving  sync.WaitGroup
	ended    func() // told of each outlet that has ended by itself; set once

	// The mutex of the dispatcher guards these.
	also      []string        // networks of others
	hearing   map[string]bool // networks in which it is being opened for others
	postponed bool            // to close it where nobody is
}

// outlet is the service in one network.
type outlet struct {
	opening   chan struct{} // holds one while somebody opens it
	listeners []net.Listener
	addresses []netip.AddrPort // as containers reach it
	server    *http.Server     // nil = not open
}

func newMetadata(o DispatcherOptions) *metadata {
	return &metadata{opt: o, networks: map[string]*outlet{}, doors: map[string]*door{}, hearing: map[string]bool{}}
}

// newToken is what nobody can guess.
func newToken() string { return strings.ToLower(rand.Text()) }

// env are the variables with the URL of a token. No outlet, no variables.
func (o *outlet) env(token string) []plan.EnvVar {
	if o == nil {
		return nil
	}
	var out []plan.EnvVar
	for _, a := range o.addresses {
		name := MetadataEnvV6
		if a.Addr().Is4() {
			name = MetadataEnv
		}
		out = append(out, plan.EnvVar{Name: name, Value: "http://" + a.String() + "/" + token + metadataVersion})
	}
	return out
}

// listen has the service heard in a network; it is until somebody leaves it.
func (m *metadata) listen(ctx context.Context, network string) (*outlet, error) {
	if network == "" {
		return nil, errors.New("the agent has no network")
	}
	o, err := m.outlet(ctx, network)
	if err != nil {
		return nil, err
	}
	defer func() { <-o.opening }()
	if o.server != nil {
		return o, nil
	}
	if o.listeners, o.addresses, err = m.opt.Runtime.Listen(ctx, network); err != nil {
		return nil, err
	}
	o.server = &http.Server{
		Handler:           m,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(m.opt.Log.Handler(), slog.LevelDebug),
	}
	for _, l := range o.listeners {
		m.serving.Go(func() { m.serve(network, o, l) })
	}
	return o, nil
}

// outlet returns that of a network, which nobody else opens or closes until the
// caller takes what it put into opening.
func (m *metadata) outlet(ctx context.Context, network string) (*outlet, error) {
	for {
		m.mu.Lock()
		o := m.networks[network]
		if o == nil {
			o = &outlet{opening: make(chan struct{}, 1)}
			m.networks[network] = o
		}
		m.mu.Unlock()
		select {
		case o.opening <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		m.mu.Lock()
		same := m.networks[network] == o
		m.mu.Unlock()
		if same {
			return o, nil
		}
		<-o.opening // it was closed meanwhile
	}
}

// close ends the service. Nobody asks for it any more.
func (m *metadata) close() {
	m.mu.Lock()
	networks := m.networks
	m.networks = map[string]*outlet{}
	m.mu.Unlock()
	for name, o := range networks {
		m.leave(name, o)
	}
	m.serving.Wait()
}

// open makes the door of a container that has the addresses.
func (m *metadata) open(token string, addresses []netip.Addr) *door {
	d := &door{m: m, token: token, addresses: addresses, assigned: make(chan struct{}), closed: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doors[token] = d
	return d
}

// door is the part of the service that is one container's.
type door struct {
	m         *metadata
	token     string
	addresses []netip.Addr
	execution *execution    // once assigned
	assigned  chan struct{} // closed when there is an execution
	closed    chan struct{} // closed when there is none any more
	shutting  sync.Once
}

// assign gives an execution to the container. It is called once.
func (d *door) assign(e *execution) {
	d.execution = e
	close(d.assigned)
}

// shut has the container find nothing any more.
func (d *door) shut() {
	d.shutting.Do(func() {
		close(d.closed)
		d.m.mu.Lock()
		defer d.m.mu.Unlock()
		delete(d.m.doors, d.token)
	})
}

// ServeHTTP answers a container.
func (m *metadata) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.HasPrefix(req.URL.Path+"/", DaemonPath+"/") {
		refuse(w, http.StatusNotFound, "this is a DaemonAgent: it is started once, and has neither an event nor a reply")
		return
	}
	token, path, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	m.mu.Lock()
	d := m.doors[token]
	m.mu.Unlock()
	if d == nil || !slices.Contains(d.addresses, source(req)) {
		refuse(w, http.StatusNotFound, "no execution that goes on has this address")
		return
	}
	switch "/" + path {
	case metadataVersion + "/event":
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "an event is there to be read")
			return
		}
		d.event(w, req)
	case metadataVersion + "/response":
		if req.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			refuse(w, http.StatusMethodNotAllowed, "a reply is posted")
			return
		}
		d.response(w, req)
	default:
		refuse(w, http.StatusNotFound, "there are "+metadataVersion+"/event and "+metadataVersion+"/response, and nothing else")
	}
}

// source is the address that a request comes from.
func source(req *http.Request) netip.Addr { return addressOf(req.RemoteAddr) }

func addressOf(remote string) netip.Addr {
	if at, err := netip.ParseAddrPort(remote); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, why+"\n")
}

// event sends the event of the execution, once there is one.
func (d *door) event(w http.ResponseWriter, req *http.Request) {
	select {
	case <-d.assigned:
	case <-d.closed:
		refuse(w, http.StatusNotFound, "there will be no execution")
		return
	case <-req.Context().Done():
		return
	}
	e := d.execution.event
	if accepts(req.Header, eventMedia) {
		w.Header().Set("Content-Type", eventMedia)
		_ = e.writeJSON(w) // who does not read it has no use for it
		return
	}
	e.writeHeader(w.Header())
	w.Header().Set("Content-Length", fmt.Sprint(len(e.body)))
	_, _ = w.Write(e.body)
}

// How far a reply is that is posted. It is whole before its execution has ended, or
// never.
const (
	postNone int32 = iota
	postBegun
	postWhole
	postLate
)

// response takes the reply of the execution.
func (d *door) response(w http.ResponseWriter, req *http.Request) {
	select {
	case <-d.assigned:
	default:
		refuse(w, http.StatusNotFound, "there is no execution yet")
		return
	}
	e := d.execution
	if e.agent.Mode != plan.DeliverMetadata {
		refuse(w, http.StatusConflict, "the reply of this agent is what it writes to stdout; delivery.mode: Metadata has it posted")
		return
	}
	if !e.post.CompareAndSwap(postNone, postBegun) {
		refuse(w, http.StatusConflict, "there is a reply already")
		return
	}
	body := &spool{dir: d.m.opt.Scratch, limit: d.m.opt.MaxReply}
	r := &reply{status: http.StatusOK, contentType: req.Header.Get("Content-Type"), body: body, live: e.live}
	if r.contentType == "" {
		r.contentType = e.contentType()
	}
	if e.live && !e.offer(r) {
		refuse(w, http.StatusConflict, "it is too late for a reply")
		return
	}
	err := copyAll(body, req.Body, d.closed)
	if err == nil && !e.post.CompareAndSwap(postBegun, postWhole) {
		err = net.ErrClosed
	}
	body.end(err)
	if err != nil {
		if !e.live {
			body.discard()
			e.post.CompareAndSwap(postBegun, postNone)
		}
		status := http.StatusBadRequest
		if errors.Is(err, errTooMuch) {
			status = http.StatusRequestEntityTooLarge
		}
		refuse(w, status, "the reply is not whole: "+err.Error())
		return
	}
	if !e.live && !e.offer(r) {
		refuse(w, http.StatusConflict, "it is too late for a reply")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// copyAll fills a spool, unless closed is. It reads all in any case, since who is
// not heard to the end may not hear the answer either.
func copyAll(to *spool, from io.Reader, closed <-chan struct{}) error {
	buf := make([]byte, bufferSize)
	for {
		n, err := from.Read(buf)
		_, _ = to.Write(buf[:n])
		select {
		case <-closed:
			return net.ErrClosed
		default:
		}
		switch {
		case errors.Is(err, io.EOF):
			return to.failed()
		case err != nil:
			return err
		}
	}
}
