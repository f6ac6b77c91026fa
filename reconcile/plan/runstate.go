// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keys of the data of a [RecordRun].
const (
	runPhase     = "phase"
	runName      = "name"
	runOrder     = "order"
	runGroup     = "group"
	runContainer = "container"
	runDigest    = "digest"
	runInputs    = "inputs"
	runStarted   = "started"
	runFinished  = "finished"
	runReason    = "reason"
	runDetail    = "detail"
	runCode      = "code"
	runKept      = "kept"
)

// RunState is what a [RecordRun] says. The zero value is of what is no such record.
type RunState struct {
	Key   string
	Name  string // of the run, TASK_NAME in its container
	Order int    // of the runs of one ID, from 1
	Group string // whose limit it counts for; "" = none
	Phase RunPhase
	// Reason is why a run failed, one of FailedExit and so on; "" = it did not.
	Reason string
	Detail string // of FailedImage: what is wrong with it
	Code   int    // exit code of its command; only where it ended by itself
	// Started and Finished are zero while it was not; so is Started of what failed
	// before.
	Started, Finished time.Time
	Container         string // handle of its object
	Digest            string // what its object was made as
	Inputs            map[string]string
	// Kept: something of the run is still on the host.
	Kept bool
}

// Ended reports whether the run is over, well or not.
func (s RunState) Ended() bool { return s.Phase == RunCompleted || s.Phase == RunFailed }

// Halted reports whether the run failed because it was stopped, which is recorded
// before it is.
func (s RunState) Halted() bool {
	return s.Ended() && (s.Reason == FailedStopped || s.Reason == FailedReplaced)
}

// RunState reads a [RecordRun]. What is not there, or makes no sense, is zero.
func (r Record) RunState() RunState {
	if r.Kind != RecordRun {
		return RunState{}
	}
	s := RunState{
		Key: r.Key, Name: r.Data[runName], Group: r.Data[runGroup], Phase: RunPhase(r.Data[runPhase]),
		Reason: r.Data[runReason], Detail: r.Data[runDetail], Container: r.Data[runContainer], Digest: r.Data[runDigest],
		Kept: r.Data[runKept] == "true",
	}
	s.Order, _ = strconv.Atoi(r.Data[runOrder])
	s.Code, _ = strconv.Atoi(r.Data[runCode])
	s.Started, _ = time.Parse(time.RFC3339Nano, r.Data[runStarted])
	s.Finished, _ = time.Parse(time.RFC3339Nano, r.Data[runFinished])
	s.Inputs, _ = parseInputs(r.Data[runInputs])
	return s
}

// Record is the inverse of [Record.RunState].
func (s RunState) Record(id ID, at time.Time) Record {
	data := map[string]string{runPhase: string(s.Phase), runName: s.Name, runOrder: strconv.Itoa(s.Order)}
	set := func(key, value string) {
		if value != "" {
			data[key] = value
		}
	}
	set(runGroup, s.Group)
	set(runReason, s.Reason)
	set(runDetail, s.Detail)
	set(runContainer, s.Container)
	set(runDigest, s.Digest)
	set(runInputs, formatInputs(s.Inputs))
	set(runStarted, clockText(s.Started))
	set(runFinished, clockText(s.Finished))
	if s.Phase == RunCompleted || s.Reason == FailedExit {
		data[runCode] = strconv.Itoa(s.Code)
	}
	if s.Phase == RunRunning || s.Ended() {
		data[runKept] = strconv.FormatBool(s.Kept)
	}
	return Record{ID: id, Kind: RecordRun, Key: s.Key, At: at, Data: data}
}

// clockText is a time in a record; "" = none.
func clockText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// RunsOf returns the runs of id that are recorded, in the order in which they
// were asked for.
func RunsOf(rs Records, id ID) []RunState {
	var states []RunState
	for _, r := range rs.Records {
		if r.Kind == RecordRun && r.ID.Canonical() == id.Canonical() {
			states = append(states, r.RunState())
		}
	}
	slices.SortFunc(states, RunState.compare)
	return states
}

func (s RunState) compare(other RunState) int {
	return cmp.Or(cmp.Compare(s.Order, other.Order), cmp.Compare(s.Key, other.Key))
}

// RunName is what the run of r with the key is called: the name of a Task, and
// that of a CronTask with the key behind it.
func (r Resource) RunName(key string) string {
	if r.Run == nil || r.Run.Cron == nil {
		return r.ID.Name
	}
	return r.ID.Name + "-" + strings.ReplaceAll(key, ".", "-")
}
