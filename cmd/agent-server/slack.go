// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How late the kernel may wake up a thread of ours, and, as is usual, of those
// that we start. Go's scheduler looks every 20 µs at what a thread does that has
// begun to work, which would be half of what a probe costs beyond the script;
// with our slack it looks once or twice.
const (
	ourSlack   = 2 * time.Millisecond
	usualSlack = 50 * time.Microsecond
)

// relax starts this program anew in its place, with our slack: the threads that
// are there already do not get it otherwise. It returns when that was done before,
// or cannot be done.
func relax() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if relaxed() {
		return
	}
	// Where it does not take, the next start would not find it either.
	if err := setSlack(ourSlack); err == nil && relaxed() {
		_ = syscall.Exec(self(), os.Args, os.Environ())
	}
	_ = setSlack(usualSlack)
}

func relaxed() bool {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return err == nil && time.Duration(slack) == ourSlack
}

func setSlack(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0)
}

// withUsualSlack gives this thread the usual slack, which whoever it starts
// inherits, until restore.
func withUsualSlack() (restore func()) {
	runtime.LockOSThread()
	if !relaxed() {
		return runtime.UnlockOSThread
	}
	_ = setSlack(usualSlack)
	return func() {
		_ = setSlack(ourSlack)
		runtime.UnlockOSThread()
	}
}
