// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
)

// link is a connection to the service and what is known of who answers there.
// When the service was lost the whole link is replaced: another one may be
// another Podman.
type link struct {
	conn    context.Context // holds the bindings' connection, which lives in a context's values, and nothing else
	version version
	service *service // the private service, nil when another one was found
	host    hostMemory
}

// newLink asks a connection which Podman it leads to.
func newLink(conn context.Context, url string, service *service) (*link, error) {
	v, err := serverVersion(conn)
	if err == nil && v.less(oldest) {
		err = fmt.Errorf("podman %s at %s is too old: %s or newer is needed", v, redact(url), oldest)
	}
	if err != nil {
		return nil, err
	}
	return &link{conn: conn, version: v, service: service}, nil
}

func (l *link) closeIdle() {
	if c, err := bindings.GetClient(l.conn); err == nil {
		c.Client.CloseIdleConnections()
	}
}

var errClosed = errors.New("the runtime is closed")

// reopen replaces a link over which the service was lost, and starts a private
// service anew when it has ended. Whoever comes second finds the first one's.
func (r *Runtime) reopen(ctx context.Context, lost *link) error {
	r.opening.Lock()
	defer r.opening.Unlock()
	if r.closed {
		return errClosed
	}
	if r.link.Load() != lost {
		return nil
	}
	conn, s := context.Context(nil), lost.service
	var err error
	if s != nil && s.ended() {
		if s, err = startService(ctx, r.opt); err == nil {
			conn = s.conn
		}
	} else {
		conn, err = r.redial(ctx)
	}
	if err != nil {
		return err
	}
	next, err := newLink(conn, r.url, s)
	if err == nil {
		err = r.opt.guard(conn)
	}
	if err != nil {
		if s != lost.service {
			_ = s.stop()
		}
		return err
	}
	r.link.Store(next)
	lost.closeIdle()
	return nil
}

func (r *Runtime) redial(ctx context.Context) (context.Context, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	return dial(ctx, r.url)
}

// bound is a caller's context that also holds the bindings' connection, in place of
// the one that the caller's may hold.
type bound struct {
	context.Context
	conn context.Context
}

func (b bound) Value(key any) any {
	if v := b.conn.Value(key); v != nil {
		return v
	}
	return b.Context.Value(key)
}

func (r *Runtime) with(ctx context.Context) context.Context { return bound{ctx, r.link.Load().conn} }

// fresh is with, upon a connection of its own. What hijacks or holds its
// connection must not share one. The caller calls done.
func (r *Runtime) fresh(ctx context.Context) (_ context.Context, done func(), err error) {
	conn, err := dial(ctx, r.url)
	if err != nil {
		return nil, nil, r.explain("connect", err)
	}
	c, err := bindings.GetClient(conn)
	if err != nil {
		return nil, nil, err
	}
	if t, ok := c.Client.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
		t.DisableKeepAlives = true
	}
	if err := r.opt.guard(conn); err != nil {
		return nil, nil, err
	}
	return bound{ctx, conn}, c.Client.CloseIdleConnections, nil
}

// dial connects and pings. The connection outlives ctx.
func dial(ctx context.Context, uri string) (context.Context, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("it is no service URL: want unix:///path, tcp://host:port or ssh://user@host/path")
	}
	attempt, abort := context.WithCancel(context.Background())
	defer abort()
	type answer struct {
		conn context.Context
		err  error
	}
	ch := make(chan answer, 1)
	go func() {
		conn, err := bindings.NewConnection(attempt, uri)
		ch <- answer{conn, err}
	}()
	select {
	case a := <-ch:
		if a.err != nil {
			return nil, a.err
		}
		if c, err := bindings.GetClient(a.conn); err == nil {
			if t, ok := c.Client.Transport.(*http.Transport); ok {
				t.MaxIdleConnsPerHost = 32
				t.IdleConnTimeout = time.Minute
			}
		}
		return context.WithoutCancel(a.conn), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
}
