// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	defaultTimeout = 60 * time.Second
	maxRunning     = 16 // tools at once; further calls wait
	maxStdout      = 1 << 20
	maxStderr      = 64 << 10
	// maxEnvInput is what the kernel takes as one variable, less its name.
	maxEnvInput = 128<<10 - 64
	// workspacePath is where the instance's work directory is mounted.
	workspacePath = "/workspace"
)

// runner runs the commands of tools.
type runner struct {
	ctx   context.Context // of the supervisor
	slots chan struct{}
}

// run gives input to t's command and returns what it wrote. The command's own
// failures are tool errors, which the caller's model reads and can act on.
func (r *runner) run(ctx context.Context, t tool, input json.RawMessage) *mcp.CallToolResult {
	timeout := defaultTimeout
	if t.Timeout > 0 {
		timeout = time.Duration(t.Timeout * float64(time.Second))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()

	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return toolError("cancelled while waiting for other tools to end")
	}
	ctx, cancelTimeout := context.WithTimeout(ctx, timeout)
	defer cancelTimeout()

	stdout, stderr := &capped{max: maxStdout}, &capped{max: maxStderr}
	program := t.Command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(codePath(), program)
	}
	cmd := exec.CommandContext(ctx, program, t.Command[1:]...)
	cmd.Dir = t.dir()
	cmd.Env = t.environ(input)
	cmd.Stdin = bytes.NewReader(append(bytes.Clone(input), '\n'))
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for who keeps our pipes open in the background

	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: stdout.text()}}}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return toolError(fmt.Sprintf("no result after %s", timeout), stderr.text(), stdout.text())
	case ctx.Err() != nil:
		return toolError("cancelled", stderr.text(), stdout.text())
	}
	return toolError(err.Error(), stderr.text(), stdout.text())
}

func (t *tool) dir() string {
	code := codePath()
	switch {
	case t.Cwd == "workspace":
		if p := os.Getenv("WORKSPACE_PATH"); p != "" {
			return p
		}
		return workspacePath
	case filepath.IsAbs(t.Cwd):
		return t.Cwd
	}
	dir := filepath.Join(code, t.Cwd)
	if _, err := os.Stat(code); err != nil && t.Cwd == "" {
		return "" // an agent without a folder: where we are
	}
	return dir
}

func (t *tool) environ(input json.RawMessage) []string {
	env := append(os.Environ(), "TOOL_NAME="+t.Name)
	if len(input) <= maxEnvInput {
		env = append(env, "TOOL_INPUT="+string(input))
	}
	for name, value := range t.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// toolError is a result that says the tool failed, in the order of importance.
func toolError(texts ...string) *mcp.CallToolResult {
	var said []string
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" {
			said = append(said, t)
		}
	}
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: strings.Join(said, "\n")}}}
}

// capped keeps the first max bytes and counts the rest.
type capped struct {
	buf     bytes.Buffer
	max     int
	dropped int
}

func (c *capped) Write(p []byte) (int, error) {
	n := min(len(p), c.max-c.buf.Len())
	c.buf.Write(p[:n])
	c.dropped += len(p) - n
	return len(p), nil
}

func (c *capped) text() string {
	s := strings.ToValidUTF8(c.buf.String(), "\uFFFD")
	if c.dropped > 0 {
		s += fmt.Sprintf("\n[%d more bytes left out]", c.dropped)
	}
	return s
}
