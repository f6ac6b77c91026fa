// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/containers/podman/v5/pkg/bindings"
)

// attachStream is a connection to the streams of a process, see dispatch.Attached.
type attachStream = interface {
	io.Writer
	CloseWrite() error
	Wait() error
	Close() error
}

// executionStream implements attachStream.
type executionStream struct {
	stream io.ReadWriteCloser
	conn   net.Conn // below
	stdin  bool

	ended chan struct{} // closed once the streams have
	err   error         // why some of them may be missing, once ended

	closing sync.Once
	closed  chan struct{}
}

// Attach connects to the streams of a container that is not started.
func (x *Executions) Attach(ctx context.Context, handle string, stdout, stderr io.Writer) (attachStream, error) {
	a := &executionStream{ended: make(chan struct{}), closed: make(chan struct{}), stdin: true}
	if err := a.connect(x.rt.with(ctx), handle); err != nil {
		return nil, oneLine(x.rt.explain("attach to "+shortID(handle), err))
	}
	x.mu.Lock()
	x.attached[handle] = a
	x.mu.Unlock()
	go func() {
		defer close(a.ended)
		a.err = a.split(stdout, stderr)
	}()
	return a, nil
}

// connect makes a connection of its own, which becomes the stream.
func (a *executionStream) connect(ctx context.Context, handle string) error {
	shared, err := bindings.GetClient(ctx)
	if err != nil {
		return err
	}
	t, ok := shared.Client.Transport.(*http.Transport)
	if !ok {
		return errors.New("this connection is for looking only")
	}
	own := *shared
	transport := t.Clone()
	transport.DisableKeepAlives = true
	own.Client = &http.Client{Transport: transport}
	keep(transport, func(c net.Conn) { a.conn = c })
	query := url.Values{"stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"}, "stream": {"true"}, "detachKeys": {""}}
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}}
	res, err := own.DoRequest(ctx, nil, http.MethodPost, "/containers/%s/attach", query, upgrade, handle)
	if err != nil {
		return err
	}
	stream, ok := res.Body.(io.ReadWriteCloser)
	if res.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer res.Body.Close()
		if err := res.Process(nil); err != nil {
			return err
		}
		return fmt.Errorf("the service answered %s", res.Status)
	}
	a.stream = stream
	return nil
}

// Write implements attachStream.
func (a *executionStream) Write(p []byte) (int, error) { return a.stream.Write(p) }

// CloseWrite implements attachStream.
func (a *executionStream) CloseWrite() error {
	if c, ok := a.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.New("the connection to the service cannot be closed for writing alone")
}

// Wait implements attachStream.
func (a *executionStream) Wait() error {
	<-a.ended
	return a.err
}

// Close implements attachStream.
func (a *executionStream) Close() error {
	a.closing.Do(func() {
		close(a.closed)
		_ = a.stream.Close()
		_ = a.conn.Close()
	})
	return nil
}

// frames is how much is read at once, in bytes.
const frames = 32 << 10

// split passes on what the process writes until it closes both streams.
func (a *executionStream) split(stdout, stderr io.Writer) error {
	in := bufio.NewReaderSize(a.stream, frames)
	for {
		header, err := in.Peek(8)
		if err != nil {
			return a.missing(err, len(header))
		}
		to, size := io.Discard, int(binary.BigEndian.Uint32(header[4:]))
		switch header[0] {
		case streamOut:
			to = stdout
		case streamErr:
			to = stderr
		}
		_, _ = in.Discard(8)
		for size > 0 {
			some, err := in.Peek(min(size, max(in.Buffered(), 1)))
			if err != nil {
				return a.missing(err, 1)
			}
			_, _ = to.Write(some) // does not fail
			size -= len(some)
			_, _ = in.Discard(len(some))
		}
	}
}

// missing says what an error means when so many bytes of something were read.
func (a *executionStream) missing(err error, read int) error {
	select {
	case <-a.closed:
		return errors.New("the connection was closed before the output has ended")
	default:
	}
	if errors.Is(err, io.EOF) && read == 0 {
		return nil
	}
	return fmt.Errorf("the connection to the output was lost: %w", err)
}
