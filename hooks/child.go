// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// childName is argv[0] of the process below which a hook runs.
const childName = "reconcile-host-hook"

// MaybeServe makes this process the one below which a hook runs, when a
// [Runner] started it as such; it then does not return. It must be among the
// first calls of main, and of TestMain in packages whose tests run hooks.
func MaybeServe() {
	if len(os.Args) == 0 || os.Args[0] != childName {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs one hook. An error says why no result could be written.
func serve() error {
	// The kernel ends the shell when the thread that started it ends.
	runtime.LockOSThread()
	// Whoever listened may be gone. Were the signal ignored, the hook would ignore
	// it too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)

	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return fmt.Errorf("read the hook: %w", err)
	}
	// What descends from the hook and was left alone becomes a child of this
	// process rather than of init, and can be found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("take charge of processes: %w", err)
	}
	lock, err := j.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	me, err := thisProcess()
	if err != nil {
		return err
	}
	st := state{
		ID: j.ID, Hook: j.Hook, Digest: j.Digest, Run: j.Run,
		State: plan.HookRunning, At: time.Now().UTC(), Process: me,
	}
	if err := st.write(j.State); err != nil {
		return err
	}
	st.Process = nil
	st.State = plan.HookDone
	if code, err := j.carryOut(told); err != nil {
		st.State, st.Code, st.Detail = plan.HookFailed, code, err.Error()
	}
	st.At = time.Now().UTC()
	return st.write(j.State)
}

// lock keeps every other process from running the hook for as long as this one
// lives.
func (j job) lock() (*os.File, error) {
	f, err := tryLock(strings.TrimSuffix(j.State, stateSuffix) + lockSuffix)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errRuns
	}
	return f, err
}

// tryLock locks the file at path, which it makes. The error is EWOULDBLOCK while
// somebody else has the lock.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// folderPoll is how often is looked whether a folder is free.
const folderPoll = 50 * time.Millisecond

// lockFolder keeps the hooks of other instances of the agent, which run in the
// same folder, from running for as long as the file is open, and waits for theirs
// to end.
func (j job) lockFolder(told <-chan os.Signal, late <-chan time.Time) (*os.File, error) {
	sum := sha256.Sum256([]byte(j.Dir))
	path := filepath.Join(filepath.Dir(j.State), hex.EncodeToString(sum[:8])+folderSuffix)
	for {
		f, err := tryLock(path)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return f, err
		}
		select {
		case <-time.After(folderPoll):
		case <-late:
			return nil, fmt.Errorf("not begun within %s: the hook of another instance runs in %s", j.Timeout, j.Dir)
		case <-told:
			return nil, errEnded
		}
	}
}

// errEnded: somebody wants the hook no more.
var errEnded = errors.New("it was ended")

// carryOut runs the commands and leaves nothing of them behind. The code is the
// exit code of the one that failed, if it had one.
func (j job) carryOut(told <-chan os.Signal) (code int, err error) {
	log, err := createLog(j.Log)
	if err != nil {
		return 0, err
	}
	file, end := newCapped(log, j.Limit), &ring{most: quoteBytes}
	out := helper.NewRedactor(both{file, end}, j.Secrets)
	late := time.NewTimer(j.Timeout)
	defer late.Stop()
	folder, err := j.lockFolder(told, late.C)
	if err != nil {
		return 0, err
	}
	defer folder.Close()
	for i, command := range j.Commands {
		if code, err = j.command(command, out, told, late.C); err != nil {
			if len(j.Commands) > 1 {
				err = fmt.Errorf("command %d of %d: %w", i+1, len(j.Commands), err)
			}
			break
		}
	}
	// Output that cannot be kept does not undo what the hook did.
	if keepErr := closeAll(out.Close, file.close, log.Close); keepErr != nil {
		fmt.Fprintln(os.Stderr, keepErr)
	}
	if err == nil {
		return 0, nil
	}
	if quote := lastLines(end.bytes()); quote != "" {
		err = fmt.Errorf("%w; its output ends:\n%s", err, quote)
	}
	return code, err
}

// polite is what processes get between being asked to end and being killed;
// drain what their output may take to arrive after all have ended.
const (
	polite = 2 * time.Second
	drain  = 2 * time.Second
)

// command runs one command.
func (j job) command(command string, out io.Writer, told <-chan os.Signal, late <-chan time.Time) (code int, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = j.Dir, j.Env
	cmd.Stdout, cmd.Stderr = write, write
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	write.Close()
	if err != nil {
		return 0, err
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(out, read)
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var cut error
	select {
	case err = <-ended:
	case <-late:
		cut = fmt.Errorf("not done within %s", j.Timeout)
	case <-told:
		cut = errEnded
	}
	if cut != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // it has ended otherwise
		select {
		case <-ended:
		case <-time.After(polite):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	}
	endErr := kin{mark: j.Run, parent: os.Getpid()}.end()
	_ = read.SetReadDeadline(time.Now().Add(drain))
	<-copied
	switch exit := (*exec.ExitError)(nil); {
	case cut != nil:
		return 0, cut
	case errors.As(err, &exit):
		return exit.ExitCode(), explain(exit)
	case err != nil:
		return 0, err
	}
	return 0, endErr
}

// explain says how a command ended, in words for a person.
func explain(exit *exec.ExitError) error {
	if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return fmt.Errorf("killed by signal %d (%s)", st.Signal(), st.Signal())
	}
	return fmt.Errorf("exit status %d", exit.ExitCode())
}
