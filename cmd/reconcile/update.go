// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/atomicfile"
	"reconcile/podman"
	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
	"reconcile/workspace"
)

func newUpdateCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update [NAME...]",
		Short: "Lock the newest commits and digests, and run update hooks of agents",
		Long: `Writes workspace.lock: the commit of each repo and of each context in git and,
where the workspace says images: {pin: true}, the digest of each image, as they are
now. For each repo and context the commits between the old and the new one are
listed.

NAME is a repo, a context, an image or an agent; a TaskAgent or DaemonAgent stands for
its image. A context that is written in place
is called as in the lock file: URL, or URL#REF. An agent stands for its repo, and its update
hook, if it has one, is then run by the daemon or by a pass of this command, with
the new commit if there is one. What is the name of several is ambiguous: repo/NAME,
context/NAME and agent/NAME are not. Without NAME all entries are brought up to date, those that
nothing needs are removed, and no hook is run.

Unless a hook is run, nothing that runs changes before reconcile is run with the
new lock file.`,
		Example: `  reconcile update --dry-run
  reconcile update tools`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check("text", "json"); err != nil {
				return err
			}
			return a.update(cmd.Context(), args)
		},
	}
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print what would change and write nothing")
	return cmd
}

// updating is one run of update.
type updating struct {
	a     *app
	at    location
	names []string // as given; none = everything
	store *repos.Store

	old  []byte // the lock file, nil when there is none
	lock *schema.Lock

	agents []plan.ID       // whose update hook is to run
	before source          // the workspace as locked; zero when everything is updated
	chosen map[string]bool // repos by name, contexts by context/NAME, images by reference
	after  source          // the workspace as it will be
}

func (a *app) update(ctx context.Context, names []string) error {
	at, err := locate(a.workspace)
	if err != nil {
		return err
	}
	if at.git != nil {
		if hooked, err := a.updateHooks(ctx, names); hooked || err != nil {
			return err
		}
		return fmt.Errorf("%s is a git repository, and %s is part of it: update a clone (reconcile update -C DIR), then commit and push %[2]s", at.root(), schema.LockFile)
	}
	defer func(locked bool) { a.locked = locked }(a.locked)
	a.locked = false // what is missing is about to be added
	u := &updating{a: a, at: at, names: names}
	u.old, err = os.ReadFile(u.path())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	u.lock = &schema.Lock{}
	if u.old != nil {
		u.lock, _ = schema.DecodeLock(schema.LockFile, u.old) // loading the workspace says what is wrong with it
	}
	if len(names) > 0 {
		if u.before, err = u.load(ctx, nil); err != nil {
			return err
		}
		if !u.before.Fatal {
			err = u.choose()
		}
		if err != nil {
			return err
		}
	}
	if u.after, err = u.load(ctx, u.isChosen); err != nil {
		return err
	}
	changes, err := u.changes(ctx)
	ok := !u.after.Fatal && err == nil
	if a.output != "json" || !ok {
		a.printDiagnostics(u.after.Diagnostics)
	}
	if !ok {
		fmt.Fprintf(a.std.err, "%s is left as it is\n", schema.LockFile)
		if err != nil {
			return err
		}
		return exitWith(plan.ExitFault)
	}
	return u.finish(ctx, changes)
}

func (u *updating) path() string { return filepath.Join(u.at.dir, schema.LockFile) }

func (u *updating) load(ctx context.Context, unlocked func(string) bool) (source, error) {
	to := reachFetch
	if u.a.dryRun {
		to = reachPeek
	}
	git := u.a.newGitSources(to)
	u.store = git.store
	return u.a.loadFiles(ctx, loadOptions{at: u.at, git: git, reach: to, unlocked: unlocked})
}

func (u *updating) isChosen(name string) bool { return len(u.names) == 0 || u.chosen[name] }

// choose finds out what the names of the command line stand for.
func (u *updating) choose() error {
	u.chosen = map[string]bool{}
	known := map[string]bool{}
	for _, q := range u.before.requests {
		known[q.Name] = true
	}
	for _, e := range u.lock.Repos {
		known[e.Name.V] = true
	}
	for _, e := range u.lock.Contexts {
		known[workspace.ContextKind+e.Name.V] = true
	}
	for _, e := range u.lock.Images {
		known[e.Name.V] = true
	}
	for _, img := range u.before.Images {
		known[img.Ref] = true
	}
	var errs []error
	for _, name := range u.names {
		errs = append(errs, u.chooseBy(name, known))
	}
	return errors.Join(errs...)
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none that can be locked"
	}
	return strings.Join(names, ", ")
}

// change is one entry of the lock file that is new, other or gone. Field names
// are part of the JSON output.
type change struct {
	Kind string `json:"kind"` // repo, context or image
	Name string `json:"name"`
	URL  string `json:"url,omitempty"` // without credentials
	Ref  string `json:"ref,omitempty"` // of a repo or context; "" = the default branch
	Old  string `json:"old,omitempty"` // commit or digest; "" = a new entry
	New  string `json:"new,omitempty"` // "" = the entry is gone

	// Commits are those that New has and Old lacks, newest first; More: there are
	// more than are listed. Dropped are those that Old has and New lacks.
	Commits []logJSON `json:"commits,omitempty"`
	More    bool      `json:"more,omitempty"`
	Dropped []logJSON `json:"dropped,omitempty"`

	// OldURL and OldRef are those of the old entry, where they are others.
	OldURL string  `json:"old_url,omitempty"`
	OldRef *string `json:"old_ref,omitempty"`

	entry *schema.LockEntry
	src   repos.Source
}

// The kinds of changes.
const (
	changeRepo    = "repo"
	changeContext = "context"
	changeImage   = "image"
)

// changes compares the lock file with what is there now, repos first, contexts
// next.
func (u *updating) changes(ctx context.Context) ([]change, error) {
	if u.after.Fatal {
		return nil, nil
	}
	list, err := u.gitChanges()
	if err != nil {
		return nil, err
	}
	images, err := u.imageChanges(ctx)
	return append(list, images...), err
}

// gitChanges are those of repos and contexts.
func (u *updating) gitChanges() ([]change, error) {
	states := map[string]sourceState{}
	for _, s := range u.after.sources {
		states[s.Name] = s
	}
	var list []change
	var errs []error
	seen := map[string]bool{} // contexts in place of one repository and ref are one entry
	for _, q := range u.after.requests {
		if seen[q.Name] || !u.isChosen(q.Name) && !u.isNew(q) {
			continue
		}
		seen[q.Name] = true
		s := states[q.Name]
		if s.Commit == "" || s.Stale {
			errs = append(errs, fmt.Errorf("the newest commit of %s is not known: %s", q.Name, s.Error))
			continue
		}
		if c, changes := u.gitChange(q, s); changes {
			list = append(list, c)
		}
	}
	gone := func(kind, key string, e schema.LockedRef) {
		if u.isToGo(key) {
			list = append(list, change{Kind: kind, Name: e.Name.V, URL: repos.Redact(e.URL.V), Ref: e.Ref.V, Old: e.Commit.V})
		}
	}
	for _, e := range u.lock.Repos {
		gone(changeRepo, e.Name.V, e)
	}
	for _, e := range u.lock.Contexts {
		gone(changeContext, workspace.ContextKind+e.Name.V, e)
	}
	slices.SortStableFunc(list, func(a, b change) int {
		return cmp.Or(-strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return list, errors.Join(errs...)
}

// gitChange compares the entry of a repo or context with what is there now.
func (u *updating) gitChange(q workspace.GitRequest, s sourceState) (c change, changes bool) {
	c = change{
		Kind: changeRepo, Name: q.Name, URL: s.URL, Ref: q.Ref, New: s.Commit,
		entry: &schema.LockEntry{URL: q.URL, Ref: q.Ref, Commit: s.Commit}, src: s.source,
	}
	if name, ok := strings.CutPrefix(q.Name, workspace.ContextKind); ok {
		c.Kind, c.Name = changeContext, name
	}
	old, ok := u.locked(q.Name)
	if !ok {
		return c, true
	}
	c.Old = old.Commit.V
	if old.URL.V != q.URL {
		c.OldURL = repos.Redact(old.URL.V)
	}
	if old.Ref.V != q.Ref {
		c.OldRef = &old.Ref.V
	}
	return c, c.OldURL != "" || c.OldRef != nil || c.Old != c.New
}

// locked returns the entry of a repo or context by the name of its request.
func (u *updating) locked(name string) (schema.LockedRef, bool) {
	if context, ok := strings.CutPrefix(name, workspace.ContextKind); ok {
		return u.lock.Context(context)
	}
	return u.lock.Repo(name)
}

// isNew reports whether a repo or context that is not locked came with what is
// updated.
func (u *updating) isNew(q workspace.GitRequest) bool {
	if _, locked := u.locked(q.Name); locked {
		return false
	}
	return !slices.ContainsFunc(u.before.requests, func(known workspace.GitRequest) bool { return known.Name == q.Name })
}

// isToGo reports whether an entry is to be removed: nothing needs it, and it was
// chosen or needed before.
func (u *updating) isToGo(name string) bool {
	return slices.Contains(u.after.UnusedLock, name) && (u.isChosen(name) || !slices.Contains(u.before.UnusedLock, name))
}

func (u *updating) imageChanges(ctx context.Context) ([]change, error) {
	usedBefore := func(ref string) bool {
		return slices.ContainsFunc(u.before.Images, func(img workspace.Image) bool { return img.Ref == ref })
	}
	var refs []string
	for _, img := range u.after.Images {
		_, locked := u.lock.Image(img.Ref)
		if u.isChosen(img.Ref) || !locked && !usedBefore(img.Ref) {
			refs = append(refs, img.Ref)
		}
	}
	digests, errs := podman.LookUp(ctx, refs, podman.LookUpOptions{})
	var list []change
	for i, ref := range refs {
		old, _ := u.lock.Image(ref)
		if errs[i] == nil && digests[i] != old.Digest.V {
			list = append(list, change{Kind: changeImage, Name: ref, Old: old.Digest.V, New: digests[i]})
		}
	}
	for _, e := range u.lock.Images {
		if u.isToGo(e.Name.V) {
			list = append(list, change{Kind: changeImage, Name: e.Name.V, Old: e.Digest.V})
		}
	}
	slices.SortStableFunc(list, func(a, b change) int { return strings.Compare(a.Name, b.Name) })
	return list, errors.Join(errs...)
}

// finish tells the changes and writes them.
func (u *updating) finish(ctx context.Context, list []change) error {
	for i := range list {
		u.tell(ctx, &list[i])
	}
	written := len(list) > 0 && !u.a.dryRun
	u.agents = withUpdateHook(u.after, u.agents)
	if written {
		if err := u.write(list); err != nil {
			return err
		}
	}
	if u.a.output == "json" {
		if err := u.printJSON(list, written); err != nil {
			return err
		}
	} else {
		u.print(list)
	}
	switch {
	case u.a.dryRun && len(list)+len(u.agents) > 0:
		return exitWith(plan.ExitChanges)
	case len(u.agents) > 0:
		return u.a.runUpdateHooks(ctx, u.agents)
	}
	return nil
}

// write replaces the lock file, unless somebody else has changed it meanwhile.
func (u *updating) write(list []change) error {
	edit := schema.LockChanges{
		Repos: map[string]*schema.LockEntry{}, Contexts: map[string]*schema.LockEntry{}, Images: map[string]string{},
	}
	for _, c := range list {
		switch c.Kind {
		case changeRepo:
			edit.Repos[c.Name] = c.entry
		case changeContext:
			edit.Contexts[c.Name] = c.entry
		default:
			edit.Images[c.Name] = c.New
		}
	}
	content, err := schema.EditLock(u.old, edit)
	if err != nil {
		return err
	}
	return replaceLock(u.path(), u.old, content)
}

// replaceLock replaces a lock file, unless it is not old any more; nil = there
// was none.
func replaceLock(path string, old, content []byte) error {
	perm := fs.FileMode(0o644)
	if info, err := os.Lstat(path); err == nil {
		if perm = info.Mode().Perm(); !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file: it is not replaced", path)
		}
	}
	now, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, old) {
		return fmt.Errorf("%s has changed meanwhile; run this again", path)
	}
	return atomicfile.Write(path, content, atomicfile.Options{Perm: perm, Sync: true})
}
