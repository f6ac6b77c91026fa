// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// acceptTimeout bounds how long a monitor may take to notice a connection.
	acceptTimeout = 10 * time.Second
	acceptPoll    = 200 * time.Microsecond
	// acceptBlind is how long one is given that cannot be looked at.
	acceptBlind = 20 * time.Millisecond
)

// awaitMonitor waits until the monitor of a container, conmon, has a connection to its
// streams, the first one. The service answers as soon as it has asked for one;
// what a process writes before the monitor has noticed is lost.
func (r *Runtime) awaitMonitor(ctx context.Context, pid int, handle string) {
	if r.remote || !monitors(pid, handle) {
		pause(ctx, acceptBlind)
		return
	}
	for begun := time.Now(); time.Since(begun) < acceptTimeout; {
		got, ok := connections(pid)
		if !ok {
			pause(ctx, acceptBlind)
			return
		}
		if got > 0 || !pause(ctx, acceptPoll) {
			return
		}
	}
}

// monitors reports whether a process of this host is the monitor of a container:
// the service may number processes in another way than we do.
func monitors(pid int, handle string) bool {
	if pid <= 1 {
		return false
	}
	line, err := os.ReadFile(processFile(pid, "cmdline"))
	return err == nil && bytes.Contains(line, []byte(handle)) && bytes.Contains(line, []byte("conmon"))
}

func processFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// connections counts those to the streams that a monitor has accepted.
func connections(pid int) (n int, ok bool) {
	dir := processFile(pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return 0, false
	}
	own := map[string]bool{}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if inode, socket := strings.CutPrefix(to, "socket:["); err == nil && socket {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	f, err := os.Open(processFile(pid, "net/unix"))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	// Num RefCount Protocol Flags Type St Inode Path; one that is accepted has the
	// path of the one that listens.
	const connected = "03"
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if !strings.HasSuffix(lines.Text(), "/attach") {
			continue
		}
		if row := strings.Fields(lines.Text()); len(row) == 8 && row[5] == connected && own[row[6]] {
			n++
		}
	}
	return n, lines.Err() == nil
}
