// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reconcile/reconcile/plan"
)

const (
	// maxClear and maxComplaint bound what sops may print, in bytes.
	maxClear     = 8 << 20
	maxComplaint = 64 << 10
	// maxQuote bounds what is quoted of a complaint, in bytes.
	maxQuote = 1000
	// lastWords is how long a sops that was killed may hold on to its output.
	lastWords = 2 * time.Second
	// exitMAC is the status of sops for a file that was changed.
	exitMAC = 51
)

var errTooMuch = errors.New("too much output")

// openSOPS decrypts a whole file. What sops reads and prints goes through pipes.
func (o *Opener) openSOPS(ctx context.Context, s plan.Sealed) (documents, error) {
	program, err := o.opt.program()
	if err != nil {
		return nil, err
	}
	env, err := o.opt.environment()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.opt.Timeout, fmt.Errorf("it is not done after %s", o.opt.Timeout))
	defer cancel()
	clear, complaint := &capped{max: maxClear}, &capped{max: maxComplaint, drop: true}
	// No configuration of the folder we are in: it is about how to encrypt.
	cmd := exec.CommandContext(ctx, program, "--config", "/dev/null", "-d", "--input-type", inputType(s.File), "--output-type", "yaml", "/dev/stdin")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(s.Data), clear, complaint
	cmd.Env = env
	// A session of its own has no terminal in which somebody could be asked for a
	// passphrase, and ends as a whole.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lastWords
	err = cmd.Run()
	if clear.over {
		return nil, fmt.Errorf("it prints more than %d bytes", maxClear)
	}
	if err != nil {
		return nil, explain(ctx, err, string(complaint.kept), privateTexts(s.Data, env))
	}
	return parseDocuments(clear.kept)
}

// program finds sops in the operator's PATH.
func (o Options) program() (string, error) {
	for _, dir := range filepath.SplitList(o.lookup("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, "sops")); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the program sops is not in PATH: install it from https://github.com/getsops/sops/releases, or encrypt value by value with age, under encryptedData")
}

// inputType is what sops calls the format of a file.
func inputType(file string) string {
	if strings.EqualFold(filepath.Ext(file), ".json") {
		return "json"
	}
	return "yaml"
}

// explain turns the end of sops into an error.
func explain(ctx context.Context, err error, complaint string, private []string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ee, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("run sops: %w", err)
	}
	switch {
	case private == nil:
		return errors.New("the file is no YAML or JSON, or a part of it is missing")
	case ee.ExitCode() == exitMAC, strings.Contains(complaint, "MAC mismatch"):
		return errors.New("the file was changed after it was encrypted (MAC mismatch): edit it with sops edit")
	case strings.Contains(complaint, "message authentication failed"):
		return errors.New("a value in the file was changed after it was encrypted: edit it with sops edit")
	case strings.Contains(complaint, "does not match sops' data format"):
		return errors.New("a value in the file is not encrypted, or not completely: edit it with sops edit")
	}
	if said := quote(complaint, private); said != "" {
		return fmt.Errorf("%s: %s", ee, said)
	}
	return ee
}

// capped keeps up to max bytes; what is more is an error, or dropped.
type capped struct {
	max  int
	drop bool
	kept []byte
	over bool // there was more
}

func (c *capped) Write(b []byte) (int, error) {
	room := min(c.max-len(c.kept), len(b))
	c.kept = append(c.kept, b[:room]...)
	if room == len(b) {
		return len(b), nil
	}
	c.over = true
	if !c.drop {
		return room, errTooMuch
	}
	return len(b), nil
}
