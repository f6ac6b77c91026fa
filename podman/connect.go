// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// dialTimeout bounds one attempt to reach a service: a socket whose owner hangs
// must not hang a pass.
const dialTimeout = 15 * time.Second

// rootSocket is where the system-wide service listens.
const rootSocket = "/run/podman/podman.sock"

// connection is a service that answers.
type connection struct {
	url     string
	remote  bool
	conn    context.Context
	service *service
}

// connect goes through the places that Open names.
func connect(ctx context.Context, opt Options) (connection, error) {
	if opt.URL != "" {
		return connectTo(ctx, opt.URL, "")
	}
	// The service's address is Podman's own convention, not a workspace
	// variable, so it comes from the process and not from Options.LookupEnv.
	if host := os.Getenv("CONTAINER_HOST"); host != "" {
		return connectTo(ctx, host, "CONTAINER_HOST=")
	}

	var tried []string
	for _, socket := range sockets() {
		if _, err := os.Stat(socket); err != nil {
			tried = append(tried, fmt.Sprintf("%s: %s", socket, plain(err)))
			continue
		}
		c, err := connectTo(ctx, "unix://"+socket, "")
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return connection{}, err
		}
		tried = append(tried, err.Error())
	}

	s, err := startService(ctx, opt)
	if err == nil {
		return connection{url: s.url, conn: s.conn, service: s}, nil
	}
	tried = append(tried, err.Error())
	return connection{}, fmt.Errorf("no Podman service: %s", strings.Join(tried, "; "))
}

// sockets are the well-known sockets, each once.
func sockets() []string {
	var list []string
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		list = append(list, filepath.Join(dir, "podman", "podman.sock"))
	}
	if len(list) == 0 || list[0] != rootSocket {
		list = append(list, rootSocket)
	}
	return list
}

func connectTo(ctx context.Context, uri, source string) (connection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, fmt.Errorf("no answer within %s", dialTimeout))
	defer cancel()
	conn, err := dial(ctx, uri)
	if err != nil {
		return connection{}, fmt.Errorf("%s%s: %s", source, redact(uri), plain(err))
	}
	u, err := url.Parse(uri)
	return connection{url: uri, conn: conn, remote: err != nil || u.Scheme != "unix"}, nil
}

// redact drops a password from a URL.
func redact(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return "service URL"
	}
	return u.Redacted()
}

// plain says an error without the wrapping that only repeats its subject.
func plain(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such socket"
	}
	if errors.Is(err, fs.ErrPermission) {
		return "permission denied"
	}
	var op *url.Error
	if errors.As(err, &op) {
		err = op.Err
	}
	return strings.TrimPrefix(err.Error(), "unable to connect to Podman socket: ")
}
