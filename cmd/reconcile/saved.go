// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"reconcile/atomicfile"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// savedFile is a kept plan as it is in its file. MAC is over all of it, keyed
// with the host's key.
type savedFile struct {
	FormatVersion string          `json:"format_version"`
	Kind          string          `json:"kind"`
	Version       string          `json:"version"` // of the tool
	Saved         time.Time       `json:"saved"`
	Key           string          `json:"key"` // which key; "" = the host had none yet
	Plan          json.RawMessage `json:"plan"`
	MAC           string          `json:"mac"`

	path string // of the file
}

// errTampered: the file is not as it was written.
var errTampered = errors.New("it was changed after it was saved, or by a host with another key: make the plan again")

// sign returns the MAC of f, whatever is in f.MAC. White space does not count.
func (f savedFile) sign(key []byte) (string, error) {
	f.MAC = ""
	b, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("reconcile saved plan\n"))
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// keyID tells the keys of hosts apart and says nothing of them; "" for none.
func keyID(key []byte) string {
	if key == nil {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("reconcile saved plan: which key"))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// savePlan keeps a plan in a file that only its owner can read.
func (a *app) savePlan(src source, l live) error {
	key, err := reconcile.HostKey(a.stateDir, true)
	if err != nil {
		return err
	}
	lock, err := a.lockDigest(src.at, src.Desired.Revision)
	if err != nil {
		return err
	}
	f := savedFile{FormatVersion: plan.FormatVersion, Kind: plan.SavedKind, Version: version, Saved: time.Now().UTC(), Key: keyID(key)}
	doc, err := plan.Save(src.Desired, l.observed, l.options, l.plan, lock).JSON()
	if err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	f.Plan = json.RawMessage(escapeJSON(string(doc)))
	if f.MAC, err = f.sign(key); err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	if err := atomicfile.Write(a.preview.save, append(b, '\n'), atomicfile.Options{Perm: 0o600, Sync: true}); err != nil {
		return fmt.Errorf("--save: %w", err)
	}
	return nil
}

// lockDigest is the digest of the lock file of a workspace, in git of that at the
// revision; "" = there is none.
func (a *app) lockDigest(at location, revision string) (string, error) {
	var b []byte
	var err error
	if at.git == nil {
		b, err = os.ReadFile(filepath.Join(at.dir, schema.LockFile))
	} else {
		var files fs.FS
		if files, err = filesOf(a.openStore(reachPeek), at.git.source(), at.git.subdir, revision); err == nil {
			b, err = fs.ReadFile(files, schema.LockFile)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", schema.LockFile, err)
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// parseSaved reads a kept plan that this version and this host have written, from
// the file at path. One of a host without a key proves nothing of its writer.
func (a *app) parseSaved(path string, b []byte) (f savedFile, s plan.Saved, err error) {
	fail := func(err error) (savedFile, plan.Saved, error) {
		return savedFile{}, plan.Saved{}, fmt.Errorf("--plan: %s: %w", path, err)
	}
	if err := plan.CheckFormat(b, plan.SavedKind); err != nil {
		return fail(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return fail(fmt.Errorf("read saved plan: %w", err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(errTampered)
	}
	if f.Version != version {
		return fail(fmt.Errorf("it was saved by reconcile %s, and this is %s: make the plan again", f.Version, version))
	}
	key, err := reconcile.HostKey(a.stateDir, true)
	if err != nil {
		return savedFile{}, plan.Saved{}, err
	}
	if f.Key == "" {
		key = nil // whether the host has one now is for later
	} else if f.Key != keyID(key) {
		return fail(errors.New("it was saved on another host, or with another state directory: make the plan here"))
	}
	if mac, err := f.sign(key); err != nil || !hmac.Equal([]byte(mac), []byte(f.MAC)) {
		return fail(errTampered)
	}
	if s, err = plan.ParseSaved(f.Plan); err != nil {
		return fail(err)
	}
	f.path = path
	return f, s, nil
}

// staleError says what has moved since a plan was saved.
type staleError struct{ moved []plan.Moved }

// moved is the staleError of one thing.
func moved(field, was, is, origin string) error {
	return &staleError{[]plan.Moved{{Field: field, Was: was, Is: is, Origin: origin}}}
}

func (e *staleError) Error() string { return fmt.Sprintf("the saved plan is stale: %s", e.moved[0]) }

// runSaved does exactly what a kept plan says, or nothing. given: the workspace
// is named on the command line; otherwise it is that of the plan.
func (a *app) runSaved(ctx context.Context, given bool) error {
	b, err := readPlanFile(a.preview.apply)
	if err != nil {
		return fmt.Errorf("--plan: %w", err)
	}
	f, s, err := a.parseSaved(a.preview.apply, b)
	if err != nil {
		return err
	}
	if err := a.takeSavedOptions(f, s); err != nil {
		return err
	}
	if !given {
		a.workspace = s.Root
	}
	at, err := locate(a.workspace)
	if err != nil {
		return err
	}
	if at.root() != s.Root {
		return fmt.Errorf("--plan: %s is of the workspace %s, and not of %s", a.preview.apply, s.Root, at.root())
	}
	key, err := reconcile.HostKey(a.stateDir, true)
	if err != nil {
		return err
	}
	if f.Key == "" && key != nil {
		return a.endSaved(moved("what was applied with this state directory", "nothing", "something", ""))
	}
	if asked, err := a.savedByDaemon(ctx, at, b); asked || err != nil {
		return err
	}
	src, err := a.loadSettled(ctx, reachFetch)
	if err != nil {
		return err
	}
	a.printDiagnostics(src.Diagnostics)
	return a.endSaved(a.convergeSaved(ctx, src, f, s))
}

// endSaved is the end of a command that was to carry a kept plan out.
func (a *app) endSaved(err error) error {
	if stale, ok := errors.AsType[*staleError](err); ok {
		return a.printStale(stale.moved)
	}
	return err
}

// takeSavedOptions plans with the options of the kept plan. Where no key says who
// gave them, they are given again.
func (a *app) takeSavedOptions(f savedFile, s plan.Saved) error {
	for _, o := range []struct {
		flag  string
		given *bool
		saved bool
	}{
		{"--allow-mass-delete", &a.allowMassDelete, s.Options.AllowMassDelete},
		{"--accept-lost-records", &a.acceptLostRecords, s.Options.AcceptLostRecords},
		{"--adopt", &a.adopt, s.Options.Adopt},
	} {
		switch {
		case *o.given && !o.saved:
			return fmt.Errorf("--plan: %s was made without %s, and is done as it was made", a.preview.apply, o.flag)
		case o.saved && !*o.given && f.Key == "":
			return fmt.Errorf("--plan: %s was made with %s on a host without a key: give the flag again", a.preview.apply, o.flag)
		}
		*o.given = o.saved
	}
	return nil
}

// appliedBlob remembers the plans that were begun, by their MACs, newest last.
// It is only a cache: what is lost of it shows in what moved.
const (
	appliedBlob = "applied-plans"
	appliedMost = 100
)

func appliedPlans(store *reconcile.Store) []string {
	var macs []string
	if json.Unmarshal(store.Blob(appliedBlob), &macs) != nil {
		return nil
	}
	return macs
}

// convergeSaved carries a kept plan out, unless something has moved.
func (a *app) convergeSaved(ctx context.Context, src source, f savedFile, s plan.Saved) error {
	narrow, err := a.narrowTo(f, s, src)
	if err != nil {
		return err
	}
	return a.convergeAs(ctx, convergence{
		desired: src.Desired, diagnostics: src.Diagnostics, options: a.savedOptions(s),
		narrow: narrow, afterwards: func() { a.saveCache(src.cache) },
	})
}

// savedOptions are those of the kept plan, for now.
func (a *app) savedOptions(s plan.Saved) plan.Options {
	opt := s.Options.At(time.Now())
	opt.RequireApproval = opt.RequireApproval || a.planOptions().RequireApproval
	return opt
}

// narrowTo returns what narrows a plan for the workspace to the kept one, and
// remembers that this was begun. A *staleError says what has moved.
func (a *app) narrowTo(f savedFile, s plan.Saved, src source) (func(*reconcile.Store, plan.Plan, plan.Observed) (plan.Plan, error), error) {
	d := src.Desired
	if d.Workspace != s.Workspace {
		return nil, moved("name of the workspace", s.Workspace, d.Workspace, d.Source)
	}
	lock, err := a.lockDigest(src.at, d.Revision)
	if err != nil {
		return nil, err
	}
	return func(store *reconcile.Store, p plan.Plan, o plan.Observed) (plan.Plan, error) {
		applied := appliedPlans(store)
		if slices.Contains(applied, f.MAC) {
			return p, moved(f.path, "saved", "applied already", "")
		}
		part, other := s.Narrow(d, o, p, lock)
		if len(other) > 0 {
			return p, &staleError{other}
		}
		if src.checkout != nil {
			if err := src.checkout(); err != nil {
				return p, err
			}
		}
		macs, err := json.Marshal(append(applied[max(0, len(applied)-appliedMost):], f.MAC))
		if err != nil {
			return p, err
		}
		return part, store.PutBlob(appliedBlob, macs)
	}, nil
}

// maxMoved is how many lines say what moved.
const maxMoved = 10

// printStale says what moved since the plan was saved.
func (a *app) printStale(moved []plan.Moved) error {
	if a.output == "json" {
		err := a.printJSON(map[string]any{
			"format_version": plan.FormatVersion, "stale": true, "moved": moved, "exit_code": plan.ExitStale,
		})
		if err != nil {
			return err
		}
		return exitWith(plan.ExitStale)
	}
	s := a.styleFor(a.std.out)
	for _, m := range moved[:min(len(moved), maxMoved)] {
		fmt.Fprintln(a.std.out, a.plainText(s.yellow("moved")+" "+escape(m.String())+origin(s, m.Origin)))
	}
	if more := len(moved) - maxMoved; more > 0 {
		fmt.Fprintf(a.std.out, "and %d more\n", more)
	}
	fmt.Fprintln(a.std.err, "the saved plan is stale; nothing was changed: make it again with --dry-run --save")
	return exitWith(plan.ExitStale)
}
