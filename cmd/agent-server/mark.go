// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"hash/fnv"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A mark tells who descends from whom, whatever sessions they have opened, who
// their parent is now, whose user they are and what environment they have left:
// the soft limit on file locks, which every process hands down, everybody may
// read, and Linux has not looked at since 2.4.
type mark uint64

// What the marks of hooks and those of probes have in common: none of them is a
// limit that somebody would set.
const (
	marks mark = 0x7265 << 32
	trees mark = 0x7266 << 32
)

// markOf is the mark of a name.
func markOf(name string) mark {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return marks | mark(h.Sum32())
}

// lend gives this process the mark, for those that it starts until restore.
func (m mark) lend() (restore func(), err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_LOCKS, &limit); err != nil {
		return nil, err
	}
	marked := unix.Rlimit{Cur: min(uint64(m), limit.Max), Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_LOCKS, &marked); err != nil {
		return nil, err
	}
	return func() { _ = unix.Setrlimit(unix.RLIMIT_LOCKS, &limit) }, nil
}

// bearers are the processes with the mark that have not ended, save this one.
func (m mark) bearers() map[int]bool {
	out := map[int]bool{}
	for _, pid := range pids() {
		if pid == os.Getpid() || !m.on(pid) {
			continue
		}
		if _, alive := parentOf(pid); alive {
			out[pid] = true
		}
	}
	return out
}

// on says that the process has the mark, or had it when it ended. One that
// cannot be read has none.
func (m mark) on(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits")
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(b, []byte("Max file locks"))
	fields := bytes.Fields(rest[:min(len(rest), 60)])
	return len(fields) > 0 && string(fields[0]) == strconv.FormatUint(uint64(m), 10)
}

// crowd finds the processes that are to end.
type crowd func() map[int]bool

// end sends SIGTERM to all of c, and SIGKILL to those that are left after
// grace. It returns how many withstood that.
func (c crowd) end(grace time.Duration) int {
	if grace > 0 {
		for pid := range c() {
			_ = unix.Kill(pid, unix.SIGTERM)
			_ = unix.Kill(pid, unix.SIGCONT) // a stopped one could not act on the first
		}
		if c.gone(grace) {
			return 0
		}
	}
	for range 20 {
		c.freeze()
		for pid := range c() {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if c.gone(100 * time.Millisecond) {
			return 0
		}
	}
	return len(c())
}

// freeze stops all of c, so that nobody can have children any more. It gives up
// on those who have them faster than they can be found.
func (c crowd) freeze() {
	stopped := map[int]bool{}
	for range 100 {
		news := false
		for pid := range c() {
			if !stopped[pid] {
				stopped[pid], news = true, true
				_ = unix.Kill(pid, unix.SIGSTOP)
			}
		}
		if !news {
			return
		}
	}
}

// gone waits until there is nobody of c.
func (c crowd) gone(patience time.Duration) bool {
	end := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if len(c()) == 0 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
	}
}

// descendants are all that this process, or who it adopts, has started.
func descendants() map[int]bool {
	children := map[int][]int{}
	for _, pid := range pids() {
		if parent, alive := parentOf(pid); alive {
			children[parent] = append(children[parent], pid)
		}
	}
	out := map[int]bool{}
	for next := []int{os.Getpid()}; len(next) > 0; {
		these := children[next[0]]
		next = next[1:]
		for _, pid := range these {
			if !out[pid] {
				out[pid] = true
				next = append(next, pid)
			}
		}
	}
	return out
}

// parentOf says whose child a process is, and whether it has not ended.
func parentOf(pid int) (parent int, alive bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// The name is in parentheses, and may have any of them in it.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 || string(fields[0]) == "Z" || string(fields[0]) == "X" {
		return 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	return parent, err == nil
}

// pids are the processes that can be seen from here.
func pids() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var out []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
