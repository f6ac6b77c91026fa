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

// attachStream is what dispatch calls Attached.
type attachStream = interface {
	io.Writer
	CloseWrite() error
	Wait() error
	Close() error
}

// executionStream are the streams of a process. The input has a connection of its
// own: the service gives up one whose input nobody reads, and what is still to come
// of the output with it.
type executionStream struct {
	out *hijacked
	in  *hijacked // nil = the process has no input

	// silent is closed once nothing more comes, and ended once it is known why, or
	// cannot be known. Then missing is why some of the output may be, and code the exit
	// status, if known.
	silent  chan struct{}
	ended   chan struct{}
	missing error
	known   bool
	code    int

	closing sync.Once
	closed  context.Context
	close   context.CancelFunc
}

// Attach connects to the streams of a container that is not started.
func (x *Executions) Attach(ctx context.Context, handle string, stdout, stderr io.Writer) (attachStream, error) {
	e, err := x.find(handle)
	if err != nil {
		return nil, err
	}
	s := &executionStream{silent: make(chan struct{}), ended: make(chan struct{})}
	s.closed, s.close = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.connect(ctx, x, handle, e); err != nil {
		_ = s.Close()
		return nil, oneLine(x.rt.explain("attach to "+shortID(handle), err))
	}
	x.mu.Lock()
	if e := x.made[handle]; e != nil {
		e.stream = s
	}
	x.mu.Unlock()
	go func() {
		defer close(s.ended)
		s.missing = s.split(stdout, stderr)
		close(s.silent)
		if s.missing == nil {
			s.conclude(x, handle)
		}
	}()
	return s, nil
}

// connect makes the connections. The monitor hears them once it returns.
func (s *executionStream) connect(ctx context.Context, x *Executions, handle string, e executed) (err error) {
	if s.out, err = x.rt.hijack(ctx, handle, url.Values{"stdin": {"false"}, "stdout": {"true"}, "stderr": {"true"}}); err != nil {
		return err
	}
	var input sync.WaitGroup
	if e.stdin {
		input.Go(func() {
			s.in, err = x.rt.hijack(ctx, handle, url.Values{"stdin": {"true"}, "stdout": {"false"}, "stderr": {"false"}})
		})
	}
	x.rt.awaitMonitor(ctx, e.monitor, handle)
	input.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lost reports whether nothing is heard of the process any more.
func (s *executionStream) lost() bool {
	select {
	case <-s.silent:
		return true
	case <-s.closed.Done():
		return true
	default:
		return false
	}
}

// conclude finds out how a process has ended whose output has: it lasts as long as
// the process does.
func (s *executionStream) conclude(x *Executions, handle string) {
	code, went, err := x.poll(s.closed, handle, goesOn)
	s.code, s.known = code, err == nil
	switch {
	case errors.Is(err, errUnheard):
		s.missing = errors.New("the connection to the output was lost with the service")
	case errors.Is(err, errGoesOn) || went > goesOnTime:
		s.missing = errors.New("the connection to the output was lost")
	}
}

var errNoInput = errors.New("the process has no input")

// Write implements attachStream.
func (s *executionStream) Write(p []byte) (int, error) {
	if s.in == nil {
		return 0, errNoInput
	}
	return s.in.Write(p)
}

// CloseWrite implements attachStream.
func (s *executionStream) CloseWrite() error {
	if s.in == nil {
		return errNoInput
	}
	return s.in.closeWrite()
}

// Wait implements attachStream.
func (s *executionStream) Wait() error {
	<-s.ended
	return s.missing
}

// Close implements attachStream.
func (s *executionStream) Close() error {
	s.closing.Do(func() {
		s.close()
		for _, h := range []*hijacked{s.out, s.in} {
			if h != nil {
				_ = h.Close()
			}
		}
	})
	return nil
}

// frames is how much is read at once, in bytes.
const frames = 32 << 10

// split passes on what the process writes until it has ended.
func (s *executionStream) split(stdout, stderr io.Writer) error {
	in := bufio.NewReaderSize(s.out, frames)
	for {
		header, err := in.Peek(8)
		if err != nil {
			return s.cut(err, len(header))
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
				return s.cut(err, 1)
			}
			_, _ = to.Write(some) // does not fail
			size -= len(some)
			_, _ = in.Discard(len(some))
		}
	}
}

// cut says what an error means where so much of something was read.
func (s *executionStream) cut(err error, read int) error {
	switch {
	case s.closed.Err() != nil:
		return errors.New("the connection was closed before the output has ended")
	case errors.Is(err, io.EOF) && read == 0:
		return nil
	}
	return fmt.Errorf("the connection to the output was lost: %w", err)
}

// hijacked is a connection to the service that has become a stream.
type hijacked struct {
	io.ReadWriteCloser
	conn net.Conn // below
}

// hijack attaches to some of the streams of a container.
func (r *Runtime) hijack(ctx context.Context, handle string, streams url.Values) (*hijacked, error) {
	ctx = r.with(ctx)
	shared, err := bindings.GetClient(ctx)
	if err != nil {
		return nil, err
	}
	t, ok := shared.Client.Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("this connection is for looking only")
	}
	h := &hijacked{}
	own, transport := *shared, t.Clone()
	keep(transport, func(c net.Conn) { h.conn = c })
	own.Client = &http.Client{Transport: transport}
	streams.Set("stream", "true")
	streams.Set("detachKeys", "") // nothing in the input ends it
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}}
	res, err := own.DoRequest(ctx, nil, http.MethodPost, "/containers/%s/attach", streams, upgrade, handle)
	if err != nil {
		return nil, err
	}
	if h.ReadWriteCloser, err = upgraded(res); err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	return h, nil
}

func (h *hijacked) closeWrite() error {
	if c, ok := h.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.New("the connection to the service cannot be closed for writing alone")
}

// Close ends the stream, also for who reads it.
func (h *hijacked) Close() error {
	_ = h.ReadWriteCloser.Close()
	return h.conn.Close()
}
