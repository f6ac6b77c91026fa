// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"reconcile/forge"
)

// webhookFlags say where deliveries of webhooks come in.
type webhookFlags struct {
	listen     string
	secretFile string
}

func (f *webhookFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.listen, "webhook-listen", "", "`address` for webhooks alone, such as :9000 (default: none)")
	fs.StringVar(&f.secretFile, "webhook-secret-file", "", "`file` with the secret that webhooks prove to know; without it the endpoint is off")
}

func (f *webhookFlags) check() error {
	if f.listen == "" {
		return nil
	}
	return checkAddress("--webhook-listen", f.listen, ":9000")
}

// Limits of the listener that faces a network.
const (
	webhookConnections = 64
	webhookHeaders     = 16 << 10 // bytes
)

// listenWebhooks opens the listener for webhooks and returns the server to run
// on it; both are nil where none is asked for. It serves POST /webhook for what
// watched returns, and nothing else. Neither function may block.
func (a *app) listenWebhooks(watched func() []forge.Watch, notify func()) (*http.Server, net.Listener, error) {
	if a.webhook.listen == "" {
		if a.webhook.secretFile != "" {
			return nil, nil, errors.New("--webhook-secret-file needs --webhook-listen")
		}
		return nil, nil, nil
	}
	secret := a.webhookSecret
	_, err := secret()
	switch {
	case errors.Is(err, forge.ErrNoSecret):
		fmt.Fprintln(a.std.err, "warning: --webhook-listen without --webhook-secret-file: the endpoint is off and answers 404")
	case err != nil:
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/webhook", forge.NewReceiver(forge.ReceiverOptions{
		Secret: secret, Watched: watched,
		Notify: func(forge.Push) { notify() },
		Log:    a.logger(),
	}))
	listener, err := net.Listen("tcp", a.webhook.listen)
	if err != nil {
		return nil, nil, errListen("--webhook-listen", a.webhook.listen, err)
	}
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    webhookHeaders,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	return server, boundedListener{listener, make(chan struct{}, webhookConnections)}, nil
}

// webhookSecret reads the secret anew, so that it can be changed meanwhile.
func (a *app) webhookSecret() ([]byte, error) {
	if a.webhook.secretFile == "" {
		return nil, forge.ErrNoSecret
	}
	secret, err := readSecretFile(a.webhook.secretFile)
	if err != nil {
		return nil, fmt.Errorf("read the webhook secret: %w", err)
	}
	if len(secret) < forge.MinSecret {
		return nil, fmt.Errorf("read the webhook secret: %s has fewer than %d characters", a.webhook.secretFile, forge.MinSecret)
	}
	return secret, nil
}

// readSecretFile reads a secret of one line that is for its owner's eyes.
func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode()&0o007 != 0 {
		return nil, fmt.Errorf("%s can be read by everybody: chmod 600 it", path)
	}
	const most = 4096
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSpace(b)
	if len(b) > most || bytes.ContainsAny(b, "\n\r\x00") {
		return nil, fmt.Errorf("%s is not one line of at most %d characters", path, most)
	}
	return b, nil
}

// boundedListener has a limited number of connections open at a time, so that
// strangers cannot take all of the program's files.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

func (l boundedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type boundedConn struct {
	net.Conn
	free func()
}

func (c *boundedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
