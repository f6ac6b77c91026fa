// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process tells one process from all others that ever had its number.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // ticks since the host started
	Boot  string `json:"boot"`  // id of that start
}

// thisProcess is the one that runs this.
func thisProcess() (*process, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	st, err := readStat(os.Getpid())
	if err != nil {
		return nil, err
	}
	return &process{PID: os.Getpid(), Start: st.start, Boot: boot}, nil
}

// alive reports whether the process lives still.
func (p *process) alive() bool {
	if p == nil {
		return false
	}
	if boot, err := bootID(); err != nil || boot != p.Boot {
		return false
	}
	st, err := readStat(p.PID)
	return err == nil && st.start == p.Start && !st.ended()
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell this start of the host from others: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// stat is a part of /proc/PID/stat.
type stat struct {
	state  byte
	parent int
	start  uint64
}

// ended: nothing of it is left but its exit status.
func (s stat) ended() bool { return s.state == 'Z' || s.state == 'X' }

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("read process %d: %q is not understood", pid, b)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return stat{state: fields[0][0], parent: parent, start: start}, nil
}

// markName is the variable by which the processes of a run are known, wherever
// they went.
const markName = "RECONCILE_HOOK_RUN"

// kin are the processes of a run: those that have its mark and, when parent is
// not 0, the children of that process.
type kin struct {
	mark   string
	parent int
}

// endTries is how often kin are looked for: one may be started while others are
// killed.
const endTries = 100

// end kills all of them, until there are none.
func (k kin) end() error {
	for range endTries {
		left, err := k.kill()
		if err != nil {
			return err
		}
		if k.parent != 0 {
			k.reap()
		}
		if left == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("processes of the hook cannot be ended")
}

// kill kills those that are there, and returns how many were.
func (k kin) kill() (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("look for processes: %w", err)
	}
	found := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !k.has(pid) {
			continue
		}
		found++
		k.killOne(pid)
	}
	return found, nil
}

// killOne kills a process of the run, and no other that has its number now.
func (k kin) killOne(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer unix.Close(fd)
	if k.has(pid) {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it has ended, or the next try says
	}
}

func (k kin) has(pid int) bool {
	st, err := readStat(pid)
	if err != nil || st.ended() {
		return false
	}
	if k.parent != 0 && st.parent == k.parent {
		return true
	}
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		return false
	}
	mark := []byte(markName + "=" + k.mark + "\x00")
	return bytes.HasPrefix(env, mark) || bytes.Contains(env, append([]byte{0}, mark...))
}

// reap takes note of children that have ended.
func (k kin) reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}
