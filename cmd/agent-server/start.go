// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// defaultPath is for the rare container without PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// setDefaultPath sets PATH where there is none.
func setDefaultPath() error {
	if _, ok := os.LookupEnv("PATH"); ok {
		return nil
	}
	return os.Setenv("PATH", defaultPath)
}

// statusError is an error with the exit status that stands for it.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// exitStatus returns the status for err: 1 unless it says otherwise.
func exitStatus(err error) int {
	if se, ok := errors.AsType[*statusError](err); ok {
		return se.status
	}
	return 1
}

// lookUp finds the program name as a shell would. An error carries 127 when
// there is none and 126 when it cannot be run.
func lookUp(name string) (string, error) {
	if name == "" {
		return "", &statusError{exitNotFound, errors.New(`cannot start "": the command is empty`)}
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil, errors.Is(err, exec.ErrDot):
		return path, nil
	case errors.Is(err, exec.ErrNotFound):
		return "", &statusError{exitNotFound, fmt.Errorf("cannot start %q: not found in PATH (%s)", name, os.Getenv("PATH"))}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return "", &statusError{exitNotFound, fmt.Errorf("cannot start %q: no such file in this container", name)}
	case errors.Is(err, fs.ErrPermission):
		return "", &statusError{exitCannotRun, fmt.Errorf("cannot start %q: the file is not executable", name)}
	}
	if ee, ok := errors.AsType[*exec.Error](err); ok {
		err = ee.Err
	}
	return "", &statusError{exitCannotRun, fmt.Errorf("cannot start %q: %w", name, err)}
}

// explainStart turns what exec said of a program that exists into something
// its owner can act on.
func explainStart(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return &statusError{exitNotFound, fmt.Errorf("cannot start %q: its interpreter is not in the image (the #! line of a script, or the dynamic loader)", path)}
	case errors.Is(err, syscall.EAGAIN):
		return &statusError{exitCannotRun, fmt.Errorf("cannot start %q: this container may not have more processes (%w)", path, err)}
	case errors.Is(err, syscall.ENOEXEC):
		return &statusError{exitCannotRun, fmt.Errorf("cannot start %q: neither a program for this machine nor a script with a #! line", path)}
	}
	return &statusError{exitCannotRun, fmt.Errorf("cannot start %q: %w", path, err)}
}
