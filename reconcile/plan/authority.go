// SPDX-License-Identifier: Apache-2.0

package plan

// GrantKind says what sort of power a grant is. The list is closed:
// `reconcile schema plan` publishes it, and a new kind is an addition to the
// format.
type GrantKind = string

// Grant is something that an agent can do with a change and could not before.
type Grant struct {
	ID   ID
	Kind string
	// Text says it to a person; secrets are in it by name.
	Text   string
	Origin string // file:line:col that asks for it
	// Key is the line of the lock file that approves it.
	Key      string
	Approved bool
}

// Authority returns what the changes of p let agents do that they could not
// before, sorted by ID, kind and key, what is approved marked so.
func Authority(p Plan) []Grant { return p.Authority }
