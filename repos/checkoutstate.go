// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"reconcile/atomicfile"
)

// checkoutState is what a checkout has written, as far as is known.
type checkoutState struct {
	Version int `json:"version"`
	// Tree is git's name for the content, when all of it is there; "" = not.
	Tree  string             `json:"tree,omitempty"`
	Files map[string]written `json:"files"`
	// Folders that a checkout made.
	Folders map[string]bool `json:"folders,omitempty"`
}

const checkoutVersion = 1

// written is a file or link that is ours if it is one of these.
type written struct {
	IDs  []identity `json:"ids"`            // several while a checkout is under way
	Blob string     `json:"blob,omitempty"` // git's name for the content, if there is one
	Size int64      `json:"size,omitempty"`
	Time int64      `json:"time,omitempty"` // of the last change, in Unix nanoseconds
}

func writtenAs(w wanted) written {
	return written{IDs: []identity{w.id}, Blob: w.blob}
}

// tick is longer than the time in which two changes of a file may get the same
// time of change: Linux counts in steps of at most 10 ms.
const tick = 12 * time.Millisecond

// at notes size and time of the file that was seen, by which the next checkout
// can tell that nobody has touched it: whoever does, does it at another time. Of
// links they say nothing.
func (w written) at(found seen) written {
	if kind := w.IDs[0].kind(); found.settled && (kind == fileKind || kind == scriptKind) {
		w.Size, w.Time = found.info.Size(), found.info.ModTime().UnixNano()
	}
	return w
}

// fits: the file is as it was noted.
func (w written) fits(info fs.FileInfo) bool {
	return len(w.IDs) == 1 && w.Time != 0 && w.IDs[0].kind() == kindOf(info.Mode()) && w.Size == info.Size() && w.Time == info.ModTime().UnixNano()
}

// identity is a kind and a sum of the content: x:9f86d0…
type identity string

const (
	fileKind   = "f"
	scriptKind = "x" // an executable file
	linkKind   = "l"
	otherKind  = "?"
)

func (id identity) kind() string {
	if id == "" {
		return otherKind
	}
	return string(id[:1])
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.Type() == fs.ModeSymlink:
		return linkKind
	case !mode.IsRegular():
		return otherKind
	case mode&0o111 != 0:
		return scriptKind
	}
	return fileKind
}

func linkIdentity(target string) identity {
	sum := sha256.Sum256([]byte(target))
	return identity(linkKind + ":" + hex.EncodeToString(sum[:]))
}

func fileIdentity(r io.Reader, mode fs.FileMode) (identity, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return identity(kindOf(mode) + ":" + hex.EncodeToString(h.Sum(nil))), nil
}

// loadCheckoutState takes a file of another version, or one that is broken, for
// none: then nothing counts as ours that is not as the commit has it.
func loadCheckoutState(file string) (checkoutState, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return checkoutState{}, nil
	}
	if err != nil {
		return checkoutState{}, fmt.Errorf("read what was checked out: %w", err)
	}
	var s checkoutState
	if err := json.Unmarshal(b, &s); err != nil || s.Version != checkoutVersion {
		return checkoutState{}, nil
	}
	return s, nil
}

func (s checkoutState) save(file string) error {
	s.Version = checkoutVersion
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(file, append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: true}); err != nil {
		return fmt.Errorf("note what is checked out: %w", err)
	}
	return nil
}
