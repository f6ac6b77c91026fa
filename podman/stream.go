// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/containers/podman/v5/pkg/bindings"
)

// breakable is fresh, for a stream that does not end with its context: end
// breaks it off. The caller calls end, when the stream ended by itself too.
func (r *Runtime) breakable(ctx context.Context) (_ context.Context, end func(), err error) {
	conn, done, err := r.fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := bindings.GetClient(conn)
	if err != nil {
		done()
		return nil, nil, err
	}
	var (
		mu     sync.Mutex
		dialed []net.Conn
	)
	if t, ok := c.Client.Transport.(*http.Transport); ok && t.DialContext != nil {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err == nil {
				mu.Lock()
				dialed = append(dialed, c)
				mu.Unlock()
			}
			return c, err
		}
	}
	return conn, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range dialed {
			_ = c.Close()
		}
		done()
	}, nil
}
