// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built as it is shipped: static.
var binary string

func TestMain(m *testing.M) {
	// Tests mostly wait for grace periods to end, so more of them than cores at a time.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "agent-server-test")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "agent-server")
		build := exec.Command("go", "build", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// patience bounds a wait for something that must happen.
const patience = 30 * time.Second

// child is a running agent-server.
type child struct {
	*exec.Cmd
	t      *testing.T
	lines  chan string // of stdout and stderr
	stderr *syncBuffer
}

// launch starts cmd and collects its output by lines. The test's end kills it.
func launch(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: cmd, t: t, lines: make(chan string, 1000), stderr: &syncBuffer{}}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(c.lines)
		s := bufio.NewScanner(io.TeeReader(r, c.stderr))
		for s.Scan() {
			c.lines <- s.Text()
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.Close()
		reader.Wait()
		if t.Failed() {
			t.Logf("output:\n%s", c.stderr)
		}
	})
	return c
}

// expect waits for a line that contains want and returns it.
func (c *child) expect(want string) string {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.t.Fatalf("the output ended without %q", want)
			}
			if strings.Contains(line, want) {
				return line
			}
		case <-timeout:
			c.t.Fatalf("no line with %q came", want)
		}
	}
}

// status waits for the end and returns the exit status, or 128 and the signal.
func (c *child) status() int {
	c.t.Helper()
	return exitCode(c.t, c.Wait())
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	ee, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return code(ee.Sys().(syscall.WaitStatus))
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func writeFile(t testing.TB, path, data string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
