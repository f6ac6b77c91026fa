// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
)

// spareThreads is more than ever wait in the kernel at once.
const spareThreads = 4

// harden prepares PID 1 for a container in which anything can happen, and for
// hosts that have hundreds of them.
func harden() {
	// It does little, and one thing at a time: each thread more that looks for
	// work costs more than the work.
	runtime.GOMAXPROCS(1)
	// The garbage of a probe is small, and memory counts once a container.
	debug.SetGCPercent(25)
	// Whoever may run in the container may send these, and the runtime ends the
	// program on them. One that the program itself caused still does.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT,
		syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSTKFLT, syscall.SIGSYS, syscall.SIGPIPE)
	// When the container is full of processes there are no new threads either, and
	// the runtime ends the program that needs one.
	var ready sync.WaitGroup
	var all sync.WaitGroup
	done := make(chan struct{})
	for range spareThreads {
		ready.Add(1)
		all.Go(func() {
			runtime.LockOSThread() // a thread of its own, which stays when it is let go
			defer runtime.UnlockOSThread()
			ready.Done()
			<-done
		})
	}
	ready.Wait()
	close(done)
	all.Wait()
}
