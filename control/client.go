// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// ErrNotRunning says that no daemon has the socket.
var ErrNotRunning = errors.New("no daemon is running")

// answerTimeout bounds everything but a pass: a daemon answers from memory.
const answerTimeout = 10 * time.Second

// silence is how long a pass may say nothing at all, empty lines included.
const silence = 4 * keepAlive

// Client talks to one daemon.
type Client struct{ http *http.Client }

// Dial connects to the daemon whose socket is at path. Without one, or with
// one that is dead, the error is ErrNotRunning.
func Dial(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		addr, done, err := address(path)
		if err != nil {
			return nil, err
		}
		defer done()
		c, err := new(net.Dialer).DialContext(ctx, "unix", addr.Name)
		if err != nil {
			return nil, err
		}
		return patient{c}, nil
	}
	probe, err := dial(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNotRunning
	case err != nil:
		return nil, fmt.Errorf("connect to the daemon: %w", err)
	}
	probe.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}}}, nil
}

// patient is a connection to which what nobody reads any more can be written: who
// rejects a request answers it before all of it has come. What there is of an answer
// is read all the same.
type patient struct{ net.Conn }

func (c patient) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(p), nil
	}
	return n, err
}

// Digest is the form in which a setting is compared: equal values, and no
// others, have equal digests.
func Digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// Status asks how things are.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var st Status
	res, err := c.do(ctx, http.MethodGet, pathStatus, nil)
	if err != nil {
		return st, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		return st, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return st, nil
}

// Refresh asks for a look and does not wait for it.
func (c *Client) Refresh(ctx context.Context, r RefreshRequest) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	res, err := c.do(ctx, http.MethodPost, pathRefresh, r)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Pass asks for a pass, copies what it writes while it goes on, and returns its
// exit code. An error that is a [*Refusal] means that nothing was done; any
// other that the daemon went away or hangs, and how the pass ended is not known.
func (c *Client) Pass(ctx context.Context, r PassRequest, stdout, stderr io.Writer) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the daemon has said nothing for %s", silence)) })
	defer quiet.Stop()
	res, err := c.do(ctx, http.MethodPost, pathPass, r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	dec := json.NewDecoder(res.Body)
	for {
		var l line
		if err := dec.Decode(&l); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return 0, fmt.Errorf("the daemon went away before the pass ended: %w", err)
		}
		quiet.Reset(silence)
		switch {
		case l.ExitCode != nil && l.Error != "":
			return 0, &Refusal{Text: l.Error, Code: *l.ExitCode}
		case l.ExitCode != nil:
			return *l.ExitCode, nil
		case l.Stream == "stdout":
			_, _ = io.WriteString(stdout, l.Text)
		case l.Stream == "stderr":
			_, _ = io.WriteString(stderr, l.Text)
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var no refusal
	if err := json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&no); err != nil || no.Error == "" {
		return nil, fmt.Errorf("the daemon answered %s; it may be of another version", res.Status)
	}
	return nil, &Refusal{Text: no.Error, Code: no.Code}
}
