// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconcile/helper"
)

// exitTimeout is the status of a hook that took too long, as of timeout(1).
const exitTimeout = 124

// lastWords is how long output may still come when everybody who could write it
// has ended.
const lastWords = 2 * time.Second

// runHook runs a hook and returns its exit status.
func runHook(h helper.Hook, stdout io.Writer) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	// A reader who has gone must not end the commands, nor us before them.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	setVariables(h.Env)
	short := &middle{to: stdout, max: h.Limit}
	out := helper.NewRedactor(short, secretValues(h.Secrets))
	status, err := (&hookRun{hook: h, out: out, signals: signals}).run()
	if err != nil {
		fmt.Fprintf(out, "agent-server: %s: %v\n", h.Name, err)
	}
	_ = out.Close() // middle takes everything
	short.Close()
	return status
}

// setVariables sets variables, NAME=value.
func setVariables(env []string) {
	for _, v := range env {
		if name, value, ok := strings.Cut(v, "="); ok {
			_ = os.Setenv(name, value) // a name that the system refuses is nobody's variable
		}
	}
}

func secretValues(names []string) []string {
	var values []string
	for _, name := range names {
		values = append(values, os.Getenv(name))
	}
	return values
}

// hookRun is one run of a hook.
type hookRun struct {
	hook    helper.Hook
	out     io.Writer // of the commands, and of us while they do not run
	signals <-chan os.Signal
	family  *family
	late    <-chan time.Time
}

// run returns the status of the hook and, when it is not 0, why.
func (r *hookRun) run() (status int, err error) {
	if err := setDefaultPath(); err != nil {
		return exitCannotRun, err
	}
	shell, err := lookUp(r.hook.Shell[0])
	if err != nil {
		return exitStatus(err), fmt.Errorf("the image has no shell that could run it: %w", err)
	}
	own := markOf(r.hook.Name)
	if err := endEarlier(own, r.out); err != nil {
		return exitCannotRun, err
	}
	// Without either it is harder to find who is to end, and nothing else.
	_ = adoptOrphans()
	_, _ = own.lend() // for good
	r.family = newFamily()
	everybody := crowd(func() map[int]bool {
		all := own.bearers()
		for pid := range descendants() {
			all[pid] = true
		}
		return all
	})
	if r.hook.Timeout > 0 {
		timer := time.NewTimer(r.hook.Timeout)
		defer timer.Stop()
		r.late = timer.C
	}
	files, pumped, err := r.files()
	if err != nil {
		return exitCannotRun, err
	}
	status, err = r.commands(shell, files)
	if left := everybody.end(grace); left > 0 && err == nil {
		status, err = exitCannotRun, fmt.Errorf("%d processes that it started could not be ended", left)
	}
	files.close()
	pumped.wait()
	return status, err
}

// endEarlier ends what is left of an earlier run of the same hook.
func endEarlier(own mark, out io.Writer) error {
	earlier := crowd(own.bearers)
	found := len(earlier())
	if found == 0 {
		return nil
	}
	if left := earlier.end(grace); left > 0 {
		return fmt.Errorf("%d processes of an earlier run could not be ended", left)
	}
	fmt.Fprintf(out, "agent-server: ended %d processes of an earlier run\n", found)
	return nil
}

// commands runs the commands until one of them fails.
func (r *hookRun) commands(shell string, files hookFiles) (int, error) {
	for i, command := range r.hook.Commands {
		which := fmt.Sprintf("command %d of %d", i+1, len(r.hook.Commands))
		argv := append(append([]string{}, r.hook.Shell...), command)
		p, err := r.family.start(shell, argv, files.of())
		if err != nil {
			err = explainStart(shell, err)
			return exitStatus(err), fmt.Errorf("%s: %w", which, err)
		}
		select {
		case status := <-p.done:
			if code := code(status); code != 0 {
				return code, fmt.Errorf("%s: %s", which, describe(status))
			}
		case s := <-r.signals:
			return exitSignal + int(s.(syscall.Signal)), fmt.Errorf("%s was told to stop: %s", which, s)
		case <-r.late:
			return exitTimeout, fmt.Errorf("%s: the hook is not done after %s", which, r.hook.Timeout)
		}
	}
	return 0, nil
}

// hookFiles are the standard files of commands: no input, and one pipe for all
// they say, so that it stays in order.
type hookFiles struct{ null, w *os.File }

func (f hookFiles) of() [3]uintptr { return [3]uintptr{f.null.Fd(), f.w.Fd(), f.w.Fd()} }

func (f hookFiles) close() {
	f.null.Close()
	f.w.Close()
}

// pump copies what commands say for as long as somebody has the pipe.
type pump struct {
	r    *os.File
	done chan struct{}
}

func (r *hookRun) files() (hookFiles, *pump, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return hookFiles{}, nil, err
	}
	// Our end waits in the poller, theirs is an ordinary one.
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		null.Close()
		return hookFiles{}, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return hookFiles{}, nil, err
	}
	p := &pump{r: os.NewFile(uintptr(fds[0]), "output"), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_, _ = io.Copy(r.out, p.r)
	}()
	return hookFiles{null: null, w: os.NewFile(uintptr(fds[1]), "output")}, p, nil
}

// wait returns when all that was said is passed on. Who could not be ended may
// still have the pipe: nobody waits for that.
func (p *pump) wait() {
	_ = p.r.SetReadDeadline(time.Now().Add(lastWords))
	<-p.done
	p.r.Close()
}
