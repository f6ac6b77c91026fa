// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxSocketPath is what fits into a unix socket address, its final zero not
// counted.
const maxSocketPath = 107

// startTimeout bounds the start of a private service: the first start on a new
// storage folder has work to do.
const startTimeout = 30 * time.Second

// stopTimeout is how long a private service may take to end.
const stopTimeout = 10 * time.Second

// service is a private `podman system service`, a child of this process.
// Containers do not depend on it.
type service struct {
	url    string
	conn   context.Context
	socket string
	cmd    *exec.Cmd
	said   *tail
	done   chan struct{} // closed when the process has ended
	once   sync.Once
}

// startService runs podman on a socket of our own. Its environment is ours, so
// that CONTAINERS_CONF and its like count.
func startService(ctx context.Context, opt Options) (*service, error) {
	if opt.RunDir == "" {
		return nil, errors.New("a private service is not wanted")
	}
	binary := opt.Binary
	if binary == "" {
		binary = "podman"
	}
	path, err := exec.LookPath(binary)
	if err != nil {
		return nil, fmt.Errorf("private service: %s is not installed (%w)", binary, err)
	}
	socket := filepath.Join(opt.RunDir, fmt.Sprintf("p%d.sock", os.Getpid()))
	if len(socket) > maxSocketPath {
		return nil, fmt.Errorf("private service: the path %s is longer than the %d bytes of a socket address; use a shorter state directory", socket, maxSocketPath)
	}
	if err := os.MkdirAll(opt.RunDir, 0o700); err != nil {
		return nil, fmt.Errorf("private service: %w", err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("private service: %w", err)
	}

	s := &service{url: "unix://" + socket, socket: socket, said: new(tail), done: make(chan struct{})}
	// No time out: the service lives as long as we do, however long a step is.
	s.cmd = exec.Command(path, "system", "service", "--time=0", s.url)
	s.cmd.Env = slices.DeleteFunc(os.Environ(), isRemoteSetting)
	s.cmd.Stderr = s.said
	s.cmd.WaitDelay = 500 * time.Millisecond // what it started may hold its standard error open
	// A process group of its own keeps the terminal's interrupt away: a pass
	// that is interrupted still has calls to finish.
	s.cmd.SysProcAttr = childAttr()
	if err := s.start(); err != nil {
		return nil, fmt.Errorf("private service: %w", err)
	}
	if err := s.await(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("private service: %w", err)
	}
	return s, nil
}

// isRemoteSetting reports whether a variable, though it be empty, makes podman a
// client of another service: then it cannot be one itself.
func isRemoteSetting(kv string) bool {
	return strings.HasPrefix(kv, "CONTAINER_HOST=") || strings.HasPrefix(kv, "CONTAINER_CONNECTION=")
}

// start runs the process. The thread that started it waits for it too, since
// the kernel ends the child when that thread ends.
func (s *service) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
			close(s.done)
		}
	}()
	return <-started
}

// await connects as soon as the service listens.
func (s *service) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it does not answer after %s", startTimeout))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.done:
			return fmt.Errorf("podman system service ended (%s)%s", s.cmd.ProcessState, s.said.suffix())
		case <-tick.C:
		}
		if _, err := os.Stat(s.socket); err != nil {
			continue
		}
		conn, err := dial(ctx, s.url)
		if err == nil {
			s.conn = conn
			return nil
		}
	}
}

// ended reports whether the process is gone.
func (s *service) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends the process, by force if need be, and waits for it.
func (s *service) stop() error {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
		case <-time.After(stopTimeout):
			_ = s.cmd.Process.Kill()
			<-s.done
		}
	})
	if err := os.Remove(s.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("end the private service: %w", err)
	}
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailSize; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

// suffix is what was written, ready to follow a message.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(string(t.buf))
	if s == "" {
		return ""
	}
	return ": " + s
}
