// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"

	"reconcile/reconcile/plan"
)

// Archive is a record store to be read. It has no method that writes, and none
// can be had by a type assertion. It is a [Memory].
type Archive struct {
	store *Store // opened for reading only
}

// OpenArchive opens the record store in dir, usually STATE/workspaces/NAME, and
// creates nothing. One that does not exist is an empty one without an owner.
func OpenArchive(dir string) (*Archive, error) {
	s, err := OpenStore(dir, true)
	if err != nil {
		return nil, err
	}
	return &Archive{store: s}, nil
}

// Owner is [Store.Owner].
func (a *Archive) Owner() string { return a.store.Owner() }

// Load is [Store.Load].
func (a *Archive) Load() (plan.Records, error) { return a.store.Load() }

// LoadOf is [Store.LoadOf].
func (a *Archive) LoadOf(id plan.ID) (plan.Records, error) { return a.store.LoadOf(id) }

// Specs is [Store.Specs].
func (a *Archive) Specs(digests []string) map[string]json.RawMessage { return a.store.Specs(digests) }

// Content is [Store.Content].
func (a *Archive) Content(digest string) ([]byte, bool) { return a.store.Content(digest) }

// Converged is [Store.Converged].
func (a *Archive) Converged() []plan.ID { return a.store.Converged() }

// History is [Store.History].
func (a *Archive) History(limit int) ([]PassRecord, error) { return a.store.History(limit) }
