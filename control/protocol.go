// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Daemon is what a daemon can be asked.
type Daemon interface {
	// Status says how things are. It does not look at the host.
	Status(ctx context.Context) (Status, error)
	// Pass looks at everything now, the remotes included, converges, and writes
	// what a command line would have written. ctx ends when the client goes away,
	// which does not end the pass. The error is for a request that was not taken
	// up; see [Refusal].
	Pass(ctx context.Context, r PassRequest, stdout, stderr io.Writer) (exitCode int, err error)
	// Refresh asks for a look and does not wait for it.
	Refresh(ctx context.Context, r RefreshRequest) error
	// Invoke answers a request for a task agent, whose path is below /agents/, as the
	// listener of the daemon would.
	Invoke(w http.ResponseWriter, r *http.Request)
	// Executions returns as JSON what goes on with a task agent, NAMESPACE/NAME.
	Executions(ctx context.Context, agent string) (json.RawMessage, error)
}

// Status is what a daemon says of itself.
type Status struct {
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	Since     time.Time `json:"since"`     // when it began
	Workspace string    `json:"workspace"` // "" while its name is not known yet
	Root      string    `json:"root"`      // folder or URL
	Revision  string    `json:"revision"`  // what was last acted on
	Listen    string    `json:"listen"`    // address of /metrics and the like; "" = none
	Ready     bool      `json:"ready"`
	Reason    string    `json:"reason,omitempty"` // why not ready
	Watching  string    `json:"watching"`         // "events", "polling" or "" for no folder
	Sources   []Source  `json:"sources"`
	// Last is the record of the last pass, as `history` has it; null = none yet.
	Last json.RawMessage `json:"last"`
	// Facts are a reconcile.Facts: what only the daemon knows.
	Facts json.RawMessage `json:"facts,omitempty"`
}

// Source is one git source of a workspace.
type Source struct {
	Name    string    `json:"name"`
	URL     string    `json:"url"` // without credentials
	Ref     string    `json:"ref"`
	Commit  string    `json:"commit"`
	Since   time.Time `json:"since,omitzero"` // when the remote last answered
	Stale   bool      `json:"stale"`
	Error   string    `json:"error,omitempty"`
	Refused string    `json:"refused,omitempty"` // why a newer commit is not used
	Pinned  bool      `json:"pinned,omitempty"`  // by the lock file
}

// PassRequest asks for a pass.
type PassRequest struct {
	// Cause is why, in the daemon's words.
	Cause   string `json:"cause"`
	Output  string `json:"output"` // text, json or jsonl
	Color   bool   `json:"color,omitempty"`
	ASCII   bool   `json:"ascii,omitempty"` // nothing else, in what is for people
	Verbose bool   `json:"verbose,omitempty"`
	// What holds for this pass alone.
	AllowMassDelete   bool `json:"allow_mass_delete,omitempty"`
	AcceptLostRecords bool `json:"accept_lost_records,omitempty"`
	Adopt             bool `json:"adopt,omitempty"`
	// Saved is the file of a kept plan, which is carried out and nothing else, and
	// SavedName its path, for messages; nil = whatever there is to do.
	Saved     []byte `json:"saved,omitempty"`
	SavedName string `json:"saved_name,omitempty"`
	// Wish is what somebody asks for beside it; nil = nothing. The exit code is then
	// that of the wish, and remotes are not asked.
	Wish *Wish `json:"wish,omitempty"`
	// Settings are the flags that the client was given and that the daemon must
	// have as well: name → digest of the value, see [Digest].
	Settings map[string]string `json:"settings,omitempty"`
}

// Wish asks for something that is to be done with instances.
type Wish struct {
	Verb string   `json:"verb"` // start, stop, restart, refresh or update
	IDs  []string `json:"ids"`  // kind/[namespace/]name each
}

// RefreshRequest asks for a look.
type RefreshRequest struct {
	Cause string `json:"cause"`
}

// Refusal is why a daemon does not take a request up. Its text is for the
// person who asked.
type Refusal struct {
	Text string
	Code int // exit code of the command that asked
}

func (r *Refusal) Error() string { return r.Text }

// line is one line of the answer to a pass: a piece of output, a keep-alive
// without anything, or the end.
type line struct {
	Stream   string `json:"stream,omitempty"` // stdout or stderr
	Text     string `json:"text,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
	Error    string `json:"error,omitempty"` // with ExitCode: the request was refused
}

// The paths of the protocol. The version in them grows when an old client could
// misunderstand a new daemon.
const (
	pathStatus  = "/v1/status"
	pathPass    = "/v1/pass"
	pathRefresh = "/v1/refresh"
)
