// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"reconcile/helper"
)

const (
	// channelConns bounds the connections of one channel: a helper needs one, and
	// another one while the first is not yet known to be gone.
	channelConns = 4
	// reportPause is between two reports, so that nobody can keep us busy.
	reportPause = 5 * time.Millisecond
	// hostnameLen is how much of a container's ID is its hostname.
	hostnameLen = 12
)

// channel is the socket at which the helpers of one instance report: that of its
// container, and of the one that is to take its place.
type channel struct {
	listener *net.UnixListener

	// Guarded by channels.mu.
	conns   map[net.Conn]bool
	reports map[string]heard // by hostname
}

// heard is the last report of a container, and who sent it.
type heard struct {
	report helper.Report
	from   net.Conn
}

// listenAt makes the folder of a channel and its socket. What was there before is
// replaced: containers have the folder, and find the new socket in it.
func listenAt(dir string) (*net.UnixListener, error) {
	socket := filepath.Join(dir, path.Base(helper.Socket))
	fresh := socket + ".new"
	if len(fresh) > maxSocketPath {
		return nil, fmt.Errorf("the path of the socket %s is too long: at most %d bytes", fresh, maxSocketPath)
	}
	if err := makeChannelDir(dir); err != nil {
		return nil, err
	}
	if err := removeFile(fresh); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// By the time this one is closed its name may be another one's.
	l.SetUnlinkOnClose(false)
	// The user of the image is anybody; who else is on this host does not reach
	// the folder.
	err = os.Chmod(fresh, 0o666)
	if err == nil {
		err = os.Rename(fresh, socket)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), removeFile(fresh))
	}
	return l, nil
}

// makeChannelDir makes the folder that a container mounts, in one that only we
// can enter.
func makeChannelDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// serve takes connections until the listener is closed.
func (c *channel) serve(cs *channels) {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(reportPause) // out of descriptors, perhaps
			continue
		}
		if !cs.admit(c, conn) {
			_ = conn.Close()
			continue
		}
		cs.running.Go(func() { c.read(cs, conn) })
	}
}

// read takes the reports of one connection until it ends or says what no helper
// says.
func (c *channel) read(cs *channels, conn net.Conn) {
	defer cs.leave(c, conn)
	lines := bufio.NewReaderSize(conn, helper.MaxReport)
	for next := time.Now(); ; next = time.Now().Add(reportPause) {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		report, ok := parseReport(line)
		if !ok {
			return
		}
		time.Sleep(time.Until(next)) // mostly past
		cs.hear(c, conn, report)
	}
}

// parseReport reads a report. What is wrong in it is somebody else's.
func parseReport(line []byte) (helper.Report, bool) {
	var report helper.Report
	if err := json.Unmarshal(line, &report); err != nil || len(report.Container) < hostnameLen || strings.Trim(report.Container, "0123456789abcdef") != "" {
		return helper.Report{}, false
	}
	report.Container = report.Container[:hostnameLen]
	for _, p := range []*helper.ProbeState{report.Liveness, report.Readiness} {
		if p == nil {
			continue
		}
		if p.Verdict != "" && p.Verdict != helper.Passing && p.Verdict != helper.Failing || p.Failures < 0 {
			return helper.Report{}, false
		}
		p.Output = clean(lastBytes(p.Output, helper.MaxOutput))
	}
	return report, true
}

// lastBytes is the end of a text, at most n bytes of valid UTF-8.
func lastBytes(text string, n int) string {
	if len(text) > n {
		text = text[len(text)-n:]
	}
	return strings.ToValidUTF8(text, "")
}
