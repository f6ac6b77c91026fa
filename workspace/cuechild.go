// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"reconcile/schema"
)

// CUE cannot be interrupted, and a few lines of it can loop for ever or ask
// for all memory. It is evaluated in a process of its own: this very program
// under another name, which the kernel bounds and which is killed when it is
// late.

// cueChildName is argv[0] of the evaluator's process.
const cueChildName = "reconcile-cue-eval"

// Summaries of the ways in which an evaluation is cut off.
const (
	summaryCUETime    = "cue evaluation took too long"
	summaryCUEMemory  = "cue evaluation needs too much memory"
	summaryCUECrashed = "cue evaluation crashed"
)

// CUELimits bounds one evaluation. The zero value has the defaults.
type CUELimits struct {
	// Time is the wall time; 0 = 10 s, and 5 ms more for each object that the
	// policy is applied to.
	Time time.Duration
	// Memory is the address space in bytes that may be added to what the
	// program needs anyway; 0 = 2 GiB.
	Memory uint64
	// Output is the size of the result in bytes; 0 = 256 MiB.
	Output int
}

// EvalCUE runs [schema.Eval] in a process of its own, with the default limits.
func EvalCUE(ctx context.Context, req schema.EvalRequest) (schema.EvalResponse, error) {
	return CUELimits{}.Eval(ctx, req)
}

// Eval runs [schema.Eval] in a process of its own. An evaluation that exceeds
// a limit is a diagnostic at the first file of the package that was being
// evaluated; an error means that the process could not be run, or that ctx is
// done. The program's main must start with [MaybeServeCUE].
func (l CUELimits) Eval(ctx context.Context, req schema.EvalRequest) (schema.EvalResponse, error) {
	if len(req.Dirs) == 0 && req.Policy == "" {
		return schema.EvalResponse{}, nil
	}
	l.Time = cmp.Or(l.Time, 10*time.Second+time.Duration(len(req.Objects))*5*time.Millisecond)
	l.Memory = cmp.Or(l.Memory, 2<<30)
	l.Output = cmp.Or(l.Output, 256<<20)
	input, err := json.Marshal(cueJob{Memory: l.Memory, Request: req})
	if err != nil {
		return schema.EvalResponse{}, fmt.Errorf("evaluate CUE: %w", err)
	}

	child, end := context.WithTimeout(ctx, l.Time)
	defer end()
	stdout, stderr := &boundedBuffer{most: l.Output}, &tailBuffer{most: 64 << 10}
	cmd := cueCommand(child)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), stdout, stderr
	cmd.WaitDelay = time.Second

	// The kernel kills the child when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()

	exit := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return schema.EvalResponse{}, fmt.Errorf("evaluate CUE: %w", ctx.Err())
	case err == nil:
		var resp schema.EvalResponse
		if err := json.Unmarshal(stdout.buf.Bytes(), &resp); err != nil {
			return schema.EvalResponse{}, fmt.Errorf("read evaluated CUE: %w", err)
		}
		return resp, nil
	case !stdout.full && child.Err() == nil && !errors.As(err, &exit):
		return schema.EvalResponse{}, fmt.Errorf("evaluate CUE: %w", err)
	}
	d := schema.Diagnostic{Severity: schema.Error, Pos: schema.Pos{File: lastEvaluated(req, stderr.buf.Bytes()), Line: 1, Col: 1}}
	l.explain(&d, cueEnd{late: child.Err() != nil, full: stdout.full, exit: exit, stderr: stderr.buf.Bytes()})
	return schema.EvalResponse{Diagnostics: schema.Diagnostics{d}}, nil
}

// cueJob is what the child reads.
type cueJob struct {
	Memory  uint64             `json:"memory"`
	Request schema.EvalRequest `json:"request"`
}

// cueEnd is how a child ended without a result.
type cueEnd struct {
	late, full bool
	exit       *exec.ExitError
	stderr     []byte
}

func (l CUELimits) explain(d *schema.Diagnostic, end cueEnd) {
	switch {
	case end.late:
		d.Summary = summaryCUETime
		d.Detail = fmt.Sprintf("the package was still being evaluated after %s, so it was given up", l.Time)
		d.Hint = "look for comprehensions over large or endless lists"
	case end.full:
		d.Summary = summaryCUEMemory
		d.Detail = fmt.Sprintf("the result is larger than %d MiB", l.Output>>20)
	case end.outOfMemory():
		d.Summary = summaryCUEMemory
		d.Detail = fmt.Sprintf("evaluating the package takes more than %d MiB of memory, so it was given up", l.Memory>>20)
		d.Hint = "look for repeated text or lists, and for comprehensions that multiply"
	default:
		d.Summary = summaryCUECrashed
		d.Detail = "the evaluator ended without a result: " + end.reason()
	}
}

// outOfMemory recognises the ways in which a Go program dies of memory: its
// own limit, the kernel's, and an endless recursion.
func (end cueEnd) outOfMemory() bool {
	for _, sign := range []string{"out of memory", "cannot allocate memory", "stack exceeds", "failed to create new OS thread"} {
		if bytes.Contains(end.stderr, []byte(sign)) {
			return true
		}
	}
	if end.exit == nil {
		return false
	}
	status, ok := end.exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// reason is the first line that the child said about its end.
func (end cueEnd) reason() string {
	for line := range strings.Lines(string(end.stderr)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, evaluatingPrefix) {
			return line
		}
	}
	return fmt.Sprint(end.exit)
}

// evaluatingPrefix starts the lines with which the child says what it begins.
const evaluatingPrefix = "evaluating "

func lastEvaluated(req schema.EvalRequest, stderr []byte) string {
	lines := strings.Split(string(stderr), "\n")
	for _, line := range slices.Backward(lines) {
		if file, ok := strings.CutPrefix(line, evaluatingPrefix); ok {
			return file
		}
	}
	first := req.Policy // nothing was begun: name the first file of the request
	for file := range req.Files {
		if slices.Contains(req.Dirs, path.Dir(file)) && (first == "" || file < first) {
			first = file
		}
	}
	return first
}

// boundedBuffer refuses to grow beyond its size. It is not a [bytes.Buffer]
// itself: that has other ways in than Write.
type boundedBuffer struct {
	buf  bytes.Buffer
	most int
	full bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.most {
		b.full = true
		return 0, errors.New("too much output")
	}
	return b.buf.Write(p)
}

// tailBuffer keeps the last bytes that were written to it.
type tailBuffer struct {
	buf  bytes.Buffer
	most int
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.buf.Write(p)
	if extra := b.buf.Len() - b.most; extra > 0 {
		b.buf.Next(extra)
	}
	return len(p), nil
}
