// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"reconcile/schema"
)

// cueCommand is this program as the evaluator: in its own process group, with
// nothing of our environment, and dead when we are.
func cueCommand(ctx context.Context) *exec.Cmd {
	// Not os.Executable: that file may have been replaced by another version.
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{cueChildName}
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	return cmd
}

// MaybeServeCUE makes this process the evaluator when [EvalCUE] started it as
// such; it then does not return. It must be the first call of main, and of
// TestMain in packages whose tests evaluate CUE.
func MaybeServeCUE() {
	if len(os.Args) == 0 || os.Args[0] != cueChildName {
		return
	}
	if err := serveCUE(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveCUE() error {
	var job cueJob
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if err := limitMemory(job.Memory); err != nil {
		return err
	}
	job.Request.Before = func(file string) { fmt.Fprintln(os.Stderr, evaluatingPrefix+file) }
	if err := json.NewEncoder(os.Stdout).Encode(schema.Eval(job.Request)); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// limitMemory bounds what this process may still allocate. The runtime has
// reserved address space already, most of which is never used; it does not
// count.
func limitMemory(more uint64) error {
	var pages uint64
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	most := pages*uint64(os.Getpagesize()) + more
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return fmt.Errorf("limit memory: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("limit core files: %w", err)
	}
	debug.SetMemoryLimit(int64(more / 4 * 3)) // collect before the kernel refuses
	debug.SetMaxStack(int(min(more/4, 256<<20)))
	return nil
}
