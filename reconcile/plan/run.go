// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"time"
)

// Run says how a resource with [WantOnce] is run. A Task is run once for each Key;
// a CronTask, which has a Cron, once for each slot.
//
// A run is an object and a [RecordRun] with one key: that of the Task, or for a
// CronTask the slot in Unix seconds; runs that somebody asked for again have ".2",
// ".3" and so on behind the key.
type Run struct {
	// Key is 12 hex digits of what makes it another run; "" for a CronTask.
	Key string
	// Once: when any key has run, no other is.
	Once bool
	// Group are the runs that share the limit Max; "" = none do. What is over the
	// limit waits, first come first served.
	Group string
	Max   int // runs of the group that may go on at once; 0 = no limit
	// TTL is how long after its end the object of a run stays; 0 = for ever. The
	// record stays.
	TTL  time.Duration
	Cron *Cron
}

// IsRunOf reports whether a run is of the key of a Task: the first of it, or one that
// was asked for again.
func IsRunOf(run, key string) bool {
	base, _, _ := strings.Cut(run, ".")
	return base == key
}

// Cron is the schedule of a CronTask.
type Cron struct {
	Schedule string // as in schedule.Parse
	Zone     string // IANA name; "" = UTC
	Policy   CronPolicy
	Suspend  bool
	// Deadline is how late a slot may still be run; negative = no limit.
	Deadline time.Duration
	// Completed and Failed are how many ended runs of each kind stay.
	Completed, Failed int
}

// CronPolicy says what becomes of a slot while an earlier run goes on.
type CronPolicy string

// The policies.
const (
	CronForbid  CronPolicy = "Forbid" // the slot is skipped
	CronAllow   CronPolicy = "Allow"
	CronReplace CronPolicy = "Replace" // the earlier run is stopped
)

// RunPhase says how far a run is.
type RunPhase string

// The phases. Those up to RunRunning are of a run that has not ended.
const (
	RunPending   RunPhase = "Pending" // something is missing; not recorded
	RunQueued    RunPhase = "Queued"
	RunRunning   RunPhase = "Running"
	RunCompleted RunPhase = "Completed"
	RunFailed    RunPhase = "Failed"
)

// The reasons of a failed run.
const (
	FailedExit     = "exit" // the exit code is not 0
	FailedImage    = "image"
	FailedTimeout  = "timeout"
	FailedVanished = "vanished" // its container went before its end was seen
	FailedStopped  = "stopped"
	FailedReplaced = "replaced" // by the run of a later slot
)

// Outcome is how the command of a run ended, as the helper in its container wrote
// it down. The container may still be there, for people.
type Outcome struct {
	Code     int       `json:"code"`
	Timeout  bool      `json:"timeout,omitempty"` // it was ended for that
	Finished time.Time `json:"finished"`
}

// Sealed is one value of a Secret document: in clear, or encrypted. Neither its
// text nor its JSON form shows anything of it.
type Sealed struct {
	Format SealedFormat
	// Data is the value, the armored age message, or the whole file that sops
	// decrypts, in which the document is Namespace/Name.
	Data            []byte
	File            string // name of that file, for its extension
	Namespace, Name string
	Key             string
}

// SealedFormat says how a [Sealed] value is encrypted.
type SealedFormat string

// The formats.
const (
	SealedPlain SealedFormat = "plain"
	SealedAge   SealedFormat = "age"
	SealedSOPS  SealedFormat = "sops"
)

const redacted = "[redacted]"

// String, GoString and MarshalText keep the value out of whatever is printed.
func (Sealed) String() string               { return redacted }
func (Sealed) GoString() string             { return redacted }
func (Sealed) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ImageError is the error of a step for which there is no image, or nothing to run
// in it, however often it is tried.
type ImageError struct{ Err error }

func (e *ImageError) Error() string { return e.Err.Error() }
func (e *ImageError) Unwrap() error { return e.Err }
