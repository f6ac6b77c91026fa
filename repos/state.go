// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reconcile/atomicfile"
)

var errTooManyFiles = syscall.EMFILE

// mirrorState is the content of state.json.
type mirrorState struct {
	URL string `json:"url"`
	// Generation is the folder with the repository; "" = there is none yet.
	Generation string `json:"generation,omitempty"`
	// Packs are the sizes of the generation's packs and indexes.
	Packs map[string]int64 `json:"packs,omitempty"`
	// Heads are the commits that are there with all of their history, when the
	// mirror has history.
	Heads []string `json:"heads,omitempty"`
	// Entries are what was asked for, by [entryKey].
	Entries map[string]entry `json:"entries,omitempty"`
}

// entry is one ref, or one pinned commit of a ref.
type entry struct {
	Ref string `json:"ref,omitempty"`
	// Commit is the last good copy: all of it is here, submodules included.
	Commit string `json:"commit,omitempty"`
	// Tip is what the ref pointed to when it was last listed.
	Tip     string    `json:"tip,omitempty"`
	Asked   time.Time `json:"asked,omitzero"` // last with success
	Used    time.Time `json:"used,omitzero"`  // last at all, to the day
	Failure *recorded `json:"failure,omitempty"`
	// Judged is the tip for which OffRef was found out. Where that failed, it is
	// tried again after JudgeAfter.
	Judged     string    `json:"judged,omitempty"`
	OffRef     bool      `json:"offRef,omitempty"`
	JudgeAfter time.Time `json:"judgeAfter,omitzero"`
}

// recorded is an error that outlives its process.
type recorded struct {
	Kind string    `json:"kind,omitempty"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// withoutModules is at the end of the keys of sources without their submodules.
// No ref has a space in it.
const withoutModules = " without submodules"

// entryKey is the ref, or ref@commit for a pinned commit.
func entryKey(src Source) string {
	key := src.Ref
	if src.Commit != "" {
		key += "@" + src.Commit
	}
	if src.NoModules {
		key += withoutModules
	}
	return key
}

// follows reports whether the key of an entry is that of a source that goes where
// its ref does.
func (e entry) follows(key string) bool { return strings.TrimSuffix(key, withoutModules) == e.Ref }

// kinds are the sentinels that are told apart after a restart, too. Of several
// the first counts.
var kinds = [...]struct {
	name string
	err  error
}{
	{"auth", ErrAuth}, {"notFound", ErrNotFound}, {"noRef", ErrNoRef}, {"tooLarge", ErrTooLarge}, {"noGit", ErrNoGit}, {"url", ErrURL},
}

func record(err error, at time.Time) *recorded {
	r := &recorded{Text: err.Error(), At: at}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			r.Kind = k.name
			break
		}
	}
	return r
}

func (r *recorded) err() error {
	if r == nil {
		return nil
	}
	e := &pastError{text: r.Text}
	for _, k := range kinds {
		if k.name == r.Kind {
			e.kind = k.err
		}
	}
	return e
}

type pastError struct {
	text string
	kind error
}

func (e *pastError) Error() string { return e.text }
func (e *pastError) Unwrap() error { return e.kind }

// load returns what is known of the mirror. A state that cannot be made sense
// of is that of a mirror that was never there: it is built anew.
func (m *mirror) load() (mirrorState, error) {
	if !m.frozen && m.s.opt.ReadOnly {
		return m.loadTemporary()
	}
	return m.read(m.dir)
}

func (m *mirror) read(dir string) (mirrorState, error) {
	st := mirrorState{URL: m.u.String()}
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return st, fmt.Errorf("read mirror: %w", err)
	}
	var got mirrorState
	if err := json.Unmarshal(b, &got); err != nil || got.URL != st.URL || !generationName.MatchString(got.Generation) && got.Generation != "" {
		m.s.log.Warn("mirror has no valid state", "url", m.u.String())
		return st, nil
	}
	return got, nil
}

// loadTemporary returns the state of a read-only store: that of its own copy, or
// what the folder knows, without the folder's repository.
func (m *mirror) loadTemporary() (mirrorState, error) {
	m.s.mu.Lock()
	st, ok := m.s.states[m.key()]
	m.s.mu.Unlock()
	if ok {
		return st.clone(), nil
	}
	st, err := m.read(filepath.Join(m.s.opt.Dir, m.u.folder(), m.class))
	st.Generation, st.Packs, st.Heads = "", nil, nil
	return st, err
}

func (m *mirror) key() string { return m.u.folder() + "/" + m.class }

// save replaces the state; lasting, it would outlive a power cut.
func (m *mirror) save(st mirrorState, lasting bool) error {
	if m.s.opt.ReadOnly {
		m.s.mu.Lock()
		defer m.s.mu.Unlock()
		m.s.states[m.key()] = st.clone()
		return nil
	}
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("write mirror: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(m.dir, "state.json"), append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: lasting}); err != nil {
		return fmt.Errorf("write mirror: %w", err)
	}
	return nil
}

func (st mirrorState) clone() mirrorState {
	entries := make(map[string]entry, len(st.Entries))
	for k, e := range st.Entries {
		entries[k] = e
	}
	st.Entries = entries
	return st
}

// update changes the entry of src under the mirror's lock.
func (st *mirrorState) update(src Source, change func(*entry)) {
	if st.Entries == nil {
		st.Entries = map[string]entry{}
	}
	e := st.Entries[entryKey(src)]
	e.Ref = src.Ref
	change(&e)
	st.Entries[entryKey(src)] = e
}
