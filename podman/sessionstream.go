// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
)

// noDetaching are keys that nobody presses in a row. The service's own would leave
// a command alone whose input has them, and hold back each Ctrl-P.
var noDetaching = strings.TrimSuffix(strings.Repeat("ctrl-^,", 16), ",")

// execStream is the standard files of a command in a container. It does not end
// with a context.
type execStream struct {
	io.ReadWriteCloser
	conn  net.Conn // below, for what the stream cannot do
	done  func()
	close sync.Once
}

// startExec starts the command of an exec session that was created, over a
// connection of its own, which becomes the stream. The caller closes it.
func (r *Runtime) startExec(ctx context.Context, id string, terminal bool, size TerminalSize) (*execStream, error) {
	conn, done, err := r.fresh(ctx)
	if err != nil {
		return nil, err
	}
	st := &execStream{done: done}
	if err := st.start(conn, id, terminal, size); err != nil {
		st.Close()
		return nil, r.explain("start exec", err)
	}
	return st, nil
}

func (st *execStream) start(conn context.Context, id string, terminal bool, size TerminalSize) error {
	c, err := bindings.GetClient(conn)
	if err != nil {
		return err
	}
	t, ok := c.Client.Transport.(*http.Transport)
	if !ok {
		return errors.New("this connection is for looking only")
	}
	keep(t, func(c net.Conn) { st.conn = c })
	body, err := json.Marshal(map[string]any{"Detach": false, "Tty": terminal, "h": size.Rows, "w": size.Columns})
	if err != nil {
		return err
	}
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}, "Content-Type": {"application/json"}}
	res, err := c.DoRequest(conn, bytes.NewReader(body), http.MethodPost, "/exec/%s/start", nil, upgrade, id)
	if err != nil {
		return err
	}
	st.ReadWriteCloser, err = upgraded(res)
	return err
}

// upgraded is the stream that a connection has become, if the service says so.
func upgraded(res *bindings.APIResponse) (io.ReadWriteCloser, error) {
	stream, ok := res.Body.(io.ReadWriteCloser)
	if ok && res.StatusCode == http.StatusSwitchingProtocols {
		return stream, nil
	}
	defer res.Body.Close()
	if err := res.Process(nil); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the service answered %s", res.Status)
}

// keep tells of the connections that t dials.
func keep(t *http.Transport, dialed func(net.Conn)) {
	dial, config := t.DialContext, t.TLSClientConfig
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		dialed(c)
		return c, err
	}
	if config == nil {
		return
	}
	t.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		if host, _, err := net.SplitHostPort(address); err == nil && own.ServerName == "" {
			own.ServerName = host
		}
		secure := tls.Client(c, own)
		dialed(secure)
		return secure, nil
	}
}

// Close ends the stream, also for who reads it.
func (st *execStream) Close() error {
	st.close.Do(func() {
		if st.ReadWriteCloser != nil {
			_ = st.ReadWriteCloser.Close()
		}
		if st.conn != nil {
			_ = st.conn.Close()
		}
		st.done()
	})
	return nil
}

// closeWrite ends the command's input.
func (st *execStream) closeWrite() {
	if c, ok := st.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// feed is the command's input until in ends, or the command takes no more.
func (st *execStream) feed(in io.Reader) {
	// What cannot be written any more is nobody's.
	_, _ = io.Copy(st, in)
	st.closeWrite()
}

// The streams that a command without a terminal has, and the service's own.
const (
	streamIn = iota
	streamOut
	streamErr
	streamService
)

// split copies what the command writes until it closes both files.
func (st *execStream) split(stdout, stderr io.Writer) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(st, header[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		n := int64(binary.BigEndian.Uint32(header[4:]))
		var err error
		switch header[0] {
		case streamIn:
			err = st.pass(io.Discard, n)
		case streamOut:
			err = st.pass(stdout, n)
		case streamErr:
			err = st.pass(stderr, n)
		case streamService:
			var said bytes.Buffer
			if err = st.pass(&said, min(n, 64<<10)); err == nil {
				err = fmt.Errorf("the service says: %s", strings.TrimSpace(said.String()))
			}
		default:
			err = fmt.Errorf("%w: the service speaks of a stream %d", errLost, header[0])
		}
		if err != nil {
			return err
		}
	}
}

// pass copies n bytes to w.
func (st *execStream) pass(w io.Writer, n int64) error {
	_, err := io.CopyN(w, st.ReadWriteCloser, n)
	if errors.Is(err, io.EOF) {
		return errLost
	}
	return err
}

// endExec ends what an exec session runs where there is no helper: by the service,
// if that can, else by its number on this host.
func (r *Runtime) endExec(ctx context.Context, container, id string) {
	ctx, cancel := context.WithTimeout(r.with(context.WithoutCancel(ctx)), leashTimeout)
	defer cancel()
	// The number may be used anew, so whose it is is looked at.
	got, err := containers.ExecInspect(ctx, id, nil)
	if err != nil || !got.Running {
		return
	}
	if err := containers.ExecRemove(ctx, id, new(containers.ExecRemoveOptions).WithForce(true)); err == nil || r.remote || got.Pid <= 1 {
		return
	}
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(got.Pid) + "/cgroup"); err == nil && strings.Contains(string(b), container) {
		_ = syscall.Kill(got.Pid, syscall.SIGKILL)
	}
}
