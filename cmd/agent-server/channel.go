// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"reconcile/helper"
)

const (
	// redial is the time between tries to reach reconcile, which waits for us that
	// long and a bit. A folder is not watched for the socket: a host has fewer
	// inotify instances a user than containers.
	redial = 400 * time.Millisecond
	// reportTimeout is how long a report may take to be read.
	reportTimeout = 5 * time.Second
)

// channel tells reconcile how the probes are, whenever it listens at path.
type channel struct {
	path    string
	changed chan struct{}

	mu     sync.Mutex
	report helper.Report
}

// newChannel returns the channel of this container, which has just started.
func newChannel(path string) *channel {
	name, _ := os.Hostname() // without one, nobody can tell whose report it is
	return &channel{
		path:    path,
		changed: make(chan struct{}, 1),
		report:  helper.Report{Container: name, Started: time.Now().UTC()},
	}
}

// set changes the report by f, and never waits.
func (c *channel) set(f func(*helper.Report)) {
	c.mu.Lock()
	f(&c.report)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default: // the latest report is sent anyway
	}
}

// line is the report as it is now.
func (c *channel) line() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, err := json.Marshal(c.report)
	if err != nil {
		return nil // a report always has a JSON form
	}
	return append(b, '\n')
}

// run connects and reports, again and again, until it is told to stop.
func (c *channel) run(stop <-chan struct{}) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-stop:
			return
		case <-retry.C:
		}
		if conn := dial(c.path); conn != nil {
			c.talk(conn, stop)
		}
		retry.Reset(redial)
	}
}

// talk reports until the other side has gone. It closes conn.
func (c *channel) talk(conn net.Conn, stop <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = conn.Read(make([]byte, 1)) // nothing is ever said to us
	}()
	defer func() {
		conn.Close()
		<-gone
	}()
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(reportTimeout))
		if _, err := conn.Write(c.line()); err != nil {
			return
		}
		select {
		case <-c.changed:
		case <-gone:
			return
		case <-stop:
			return
		}
	}
}

// dial connects to the socket at path, or returns nil at once. It is what a
// container does all the time while reconcile does not run, and made for that.
func dial(path string) net.Conn {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return nil
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close() // the connection has a descriptor of its own
	conn, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	return conn
}
