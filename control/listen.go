// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
)

// ErrRunning says that a live daemon has the socket.
var ErrRunning = errors.New("a daemon is running")

// Listener accepts connections of the daemon's user and of root.
type Listener struct {
	*net.UnixListener
	lock  *flock.Flock
	path  string
	close sync.Once
}

// Listen makes the socket at path, with the folder if need be, readable and
// writable for its owner only. A socket that a dead daemon left is replaced;
// with a live one the error is ErrRunning.
func Listen(path string) (*Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The lock, not the socket, says whether a daemon lives: were a dead socket
	// found by trying it, two daemons that start at once could both replace it.
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if !held {
		return nil, ErrRunning
	}
	l, err := bind(path)
	if err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Listener{UnixListener: l, lock: lock, path: path}, nil
}

// bind replaces whatever socket is at path; the caller holds its lock.
func bind(path string) (*net.UnixListener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	addr, done, err := address(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by Close, under the lock and by its whole path
	// The folder is closed to others, so nobody connects before this.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Accept returns the next connection of somebody who may give orders; those of
// others are closed.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if trusted(c) {
			return c, nil
		}
		c.Close()
	}
}

// Close ends the listener and removes the socket. The lock file stays: were it
// removed, two daemons could hold locks of two files of one name.
func (l *Listener) Close() error {
	err := net.ErrClosed
	l.close.Do(func() {
		removed := os.Remove(l.path)
		if errors.Is(removed, fs.ErrNotExist) {
			removed = nil
		}
		err = errors.Join(l.UnixListener.Close(), removed, l.lock.Unlock())
	})
	return err
}

// maxPath is what fits into a unix socket's address, its final zero not counted.
const maxPath = 107

// address is the socket address of path. One that is too long is reached
// through its open folder, which done closes.
func address(path string) (_ *net.UnixAddr, done func(), err error) {
	if len(path) <= maxPath {
		return &net.UnixAddr{Name: path, Net: "unix"}, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxPath {
		dir.Close()
		return nil, nil, fmt.Errorf("the path %s is longer than the %d bytes of a socket address; use a shorter state directory", path, maxPath)
	}
	return &net.UnixAddr{Name: short, Net: "unix"}, func() { dir.Close() }, nil
}
