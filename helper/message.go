// SPDX-License-Identifier: Apache-2.0

package helper

import "time"

// The helper dials the socket Socket in the folder Channel, which is mounted into
// containers that have probes, and writes [Report]s: one JSON object a line, the
// first when it is connected and another whenever something in it changed. It
// tries again for as long as nobody listens, and keeps its state meanwhile.
// Nothing is written back.
const (
	Channel = "/run/reconcile"
	Socket  = Channel + "/helper.sock"
	// MaxReport bounds a line in bytes.
	MaxReport = 64 << 10
	// MaxOutput bounds what a report quotes of a probe's output, in bytes.
	MaxOutput = 4 << 10
)

// Report is the state of the probes of one container.
type Report struct {
	// Container is the hostname, which Podman makes of the first characters of the
	// container's ID.
	Container string `json:"container"`
	// Started is when this run of the container began.
	Started   time.Time   `json:"started"`
	Liveness  *ProbeState `json:"liveness,omitempty"`
	Readiness *ProbeState `json:"readiness,omitempty"`
}

// ProbeState is how far a probe is.
type ProbeState struct {
	Verdict  string    `json:"verdict,omitempty"` // Passing, Failing, or "" before either threshold is reached
	Since    time.Time `json:"since"`             // of the verdict
	Failures int       `json:"failures,omitempty"`
	Output   string    `json:"output,omitempty"` // of the last run that failed: its end, valid UTF-8
}

// The verdicts of a probe.
const (
	Passing = "passing"
	Failing = "failing"
)

// Probe is a script that is run in the working directory again and again: as
// `sh ./SCRIPT`, or by itself where there is no shell. Exit status 0 is success.
type Probe struct {
	Script           string        `json:"script"`
	Interval         time.Duration `json:"interval"` // between the begin of runs, > 0
	Timeout          time.Duration `json:"timeout"`  // of a run, > 0
	InitialDelay     time.Duration `json:"initialDelay,omitempty"`
	FailureThreshold int           `json:"failureThreshold"` // failures in a row, ≥ 1
	SuccessThreshold int           `json:"successThreshold"` // successes in a row, ≥ 1
}

// Task is how the helper runs a command once. Its exit status is the command's own,
// 124 after Timeout. When the command has ended it writes an [Outcome] to
// [OutcomeFile]; then the container stays for KeepAlive, or until it is told to
// end.
type Task struct {
	// KeepAlive is how long the container stays after the end of the command.
	KeepAlive time.Duration `json:"keepAlive,omitempty"`
	// Timeout ends the command by SIGTERM, and SIGKILL 10 s later; 0 = none.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// OutcomeFile is where the end of a task is written down, in a folder that
// outlives the container and that its user can write.
const OutcomeFile = "/run/reconcile-task/outcome.json"

// Outcome is how the command of a task ended.
type Outcome struct {
	Code     int       `json:"code"`
	Timeout  bool      `json:"timeout,omitempty"`
	Finished time.Time `json:"finished"`
}

// Hook is a lifecycle hook that the helper runs in a container. Its output is
// that of the commands, with what the variables named in Secrets hold replaced,
// and cut in the middle beyond Limit bytes. Its exit status is that of the first
// command that failed, 128 and the signal that ended it, 124 after Timeout, or 0.
// A last line of output says what failed. Nothing that the commands started
// outlives it, and what is left of an earlier run of the same hook is ended first:
// by SIGTERM, and SIGKILL 5 s later.
type Hook struct {
	Name     string        // as in the manifest
	Shell    []string      // what a command is an argument of, e.g. /bin/sh -c
	Commands []string      // run in order, until one fails
	Env      []string      `json:",omitempty"` // NAME=value, instead of what the container has
	Secrets  []string      `json:",omitempty"` // names of variables whose values must not be printed
	Limit    int64         `json:",omitempty"` // bytes of output; 0 = no limit
	Timeout  time.Duration `json:",omitempty"` // of all commands together; 0 = none
}
