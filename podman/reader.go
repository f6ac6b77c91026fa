// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/containers/podman/v5/pkg/bindings"

	"reconcile/reconcile/plan"
)

// Reader is a service that can only be looked at. It has no method that changes
// anything, none can be had by a type assertion, and its connections carry no
// request but GET and HEAD. It implements reconcile.Reader.
type Reader struct {
	rt *Runtime // that refuses to write as well
}

// OpenReader finds the service as [Open] does. Owner, Version, StateDir, Helper
// and Progress of the options are not used.
func OpenReader(ctx context.Context, opt Options) (*Reader, error) {
	opt.onlyLook = true
	rt, err := Open(ctx, opt)
	if err != nil {
		return nil, err
	}
	return &Reader{rt: rt}, nil
}

// Observe is [Runtime.Observe].
func (r *Reader) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	return r.rt.Observe(ctx, d)
}

// Logs is [Runtime.Logs].
func (r *Reader) Logs(ctx context.Context, handle string, opt LogOptions, stdout, stderr io.Writer) error {
	return r.rt.Logs(ctx, handle, opt, stdout, stderr)
}

// WorkspacesAt is [Runtime.WorkspacesAt].
func (r *Reader) WorkspacesAt(ctx context.Context, root string) ([]string, error) {
	return r.rt.WorkspacesAt(ctx, root)
}

// Close is [Runtime.Close].
func (r *Reader) Close() error { return r.rt.Close() }

// guard keeps a connection of a Reader from carrying anything that writes.
func (o Options) guard(conn context.Context) error {
	if !o.onlyLook {
		return nil
	}
	c, err := bindings.GetClient(conn)
	if err != nil {
		return err
	}
	c.Client.Transport = onlyLooks{c.Client.Transport}
	return nil
}

// onlyLooks refuses requests that may change something.
type onlyLooks struct{ next http.RoundTripper }

func (t onlyLooks) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, fmt.Errorf("%s %s: this connection is for looking only", req.Method, req.URL.Path)
	}
	return t.next.RoundTrip(req)
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (t onlyLooks) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
