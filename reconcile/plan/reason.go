// SPDX-License-Identifier: Apache-2.0

package plan

// Code names a reason. The list is closed: `reconcile schema plan` publishes
// it, and a new code is an addition to the format.
type Code string

// The reason codes.
const (
	// Intent: the workspace says something else than before.
	CodeNew     Code = "new"          // nothing with this ID exists
	CodeSpec    Code = "spec-changed" // the spec differs; see replace_paths
	CodeImage   Code = "image-moved"  // the tag points to another digest
	CodeSecret  Code = "secret-changed"
	CodeRemoved Code = "removed" // no longer in the workspace
	CodeDestroy Code = "destroy" // everything is to go
	CodeNeeds   Code = "needs"   // because of what needs it or what it needs
	CodeWish    Code = "wish"    // somebody asked for it with a command
	CodeHook    Code = "hook"    // a hook is due, or a restart after one

	CodeSettings Code = "settings-changed" // how it is given work

	CodeLifetime Code = "lifetime" // it has run for as long as it may

	CodeRerun Code = "rerun" // somebody asked for another run
	CodeSlot  Code = "slot"  // a slot of its schedule has come
	CodeEnded Code = "ended" // a run has ended, or what is left of it is no longer kept

	// Drift: the runtime departed from what was made.
	CodeMissing    Code = "missing"
	CodeStopped    Code = "stopped" // exited or never started
	CodePaused     Code = "paused"
	CodeBroken     Code = "broken"
	CodeDetached   Code = "detached"    // not on its network
	CodeOtherImage Code = "other-image" // runs another image than it was made with
	CodeDuplicate  Code = "duplicate"   // a second object under one ID
	CodeRenamed    Code = "renamed"     // does not bear its proper name
	CodeUnfinished Code = "unfinished"  // left by an interrupted pass
	CodeUnhealthy  Code = "unhealthy"   // its liveness probe fails

	// Held.
	CodeInvalid        Code = "invalid"     // a diagnostic at the origin says why
	CodeUnsupported    Code = "unsupported" // not supported by this build
	CodePolicy         Code = "policy"
	CodeAuthority      Code = "authority"     // it grants what is not approved
	CodeHostHook       Code = "host-hook"     // a hook on the host is not approved, or changed since
	CodeBlockedBy      Code = "blocked-by"    // something it needs is blocked
	CodeImageMissing   Code = "image-missing" // neither here nor in its registry
	CodeSecretMissing  Code = "secret-missing"
	CodeUnknown        Code = "unknown" // could not be observed
	CodePartial        Code = "partial" // the desired state is only partly known
	CodeForeign        Code = "foreign" // the name belongs to somebody else
	CodeKept           Code = "kept"
	CodeFinished       Code = "finished"       // its restart policy or outcome says it is done
	CodeInputs         Code = "inputs-changed" // of a run that is not repeated for that
	CodePending        Code = "pending"        // something it refers to is missing
	CodeQueued         Code = "queued"         // as many runs go on as may
	CodeSuspended      Code = "suspended"
	CodeRestartLimit   Code = "restart-limit"
	CodeCrashLoop      Code = "crash-loop" // exits again and again; restarted later
	CodeBackoff        Code = "backoff"    // its last step failed; tried again later
	CodeBusy           Code = "busy"
	CodeMassDelete     Code = "mass-delete"
	CodeEmptyWorkspace Code = "empty-workspace"
	CodeOtherRoot      Code = "other-root"
	CodeRecordsLost    Code = "records-lost"
)
