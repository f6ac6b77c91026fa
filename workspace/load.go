// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// Options says what to load and what may be asked of the host.
type Options struct {
	Dir string // of the workspace
	// Files, when set, are the workspace's instead of those in Dir, such as those
	// of a commit. They have the method Source of [GitResult.Files]. Dir, absolute
	// and without links, is then the folder in which they are or will be checked
	// out: what instances mount is below it, see [Result.NeedsCheckout].
	Files fs.FS
	// FileName and File, when set, are the workspace file and its content, whatever
	// is there. It is YAML or JSON.
	FileName string
	File     []byte
	Root     string // what Desired.Root says; "" = Dir
	Name     string // of the workspace; "" = its file's, else DefaultName
	// DefaultName is for a workspace whose file says none; "" = the folder's.
	DefaultName string
	Profile     string // active profile; "" = the workspace file's, else default
	// Outputs are the files that this program prints to. They are no part of the
	// workspace, wherever they are.
	Outputs []fs.FileInfo
	// Vars overrides and adds workspace variables.
	Vars map[string]string
	// LookupEnv reads the operator's environment. Only the names of {env: NAME}
	// variables and those that say where Podman's socket is are asked for.
	// nil = it is empty.
	LookupEnv func(string) (string, bool)

	// StateDir is the root of the state directory, an absolute path.
	StateDir string
	// SecretsDir holds one file per secret; "" = none. It is never mounted.
	SecretsDir string
	// NeverMounted are further host paths that no container may get, such as
	// the socket of the Podman in use.
	NeverMounted []string
	// HostPolicy is the ceiling of what a workspace may ask for; nil = the
	// defaults.
	HostPolicy *schema.Policy

	// HostHooks says whether hooks may run on this host: deny, locked (the lock file
	// must have their digest) or allow; "" = HostPolicy's word, else locked. Of it,
	// HostPolicy and the workspace the strictest counts.
	HostHooks string

	// Cache remembers documents that were valid; may be nil.
	Cache *schema.Cache
	// Hash hashes an agent's folder; nil = tree.Hash.
	Hash func(fs.FS) (string, error)
	// Eval evaluates CUE of users; nil = EvalCUE.
	Eval func(context.Context, schema.EvalRequest) (schema.EvalResponse, error)
	// Git returns what can be had of git repositories, in the order of the
	// requests. It is called once for those of the workspace file and of contexts,
	// and once for those of each manifest that names new ones, and never twice for
	// one request. nil = there is no git.
	Git func(ctx context.Context, requests []GitRequest) []GitResult
	// Locked: it is an error that something which the lock file could pin has no
	// entry there, or that a locked commit is no longer on its ref.
	Locked bool
	// Unlocked reports the repos, by name, contexts, by name with [ContextKind]
	// before it, and images, by full reference, whose entries in the lock file do
	// not count, since they are to be updated. nil = all count.
	Unlocked func(name string) bool
	// Revision returns the commit that a folder, Dir, is a checkout of; nil = none.
	Revision func(dir string) string

	// wrap replaces the workspace's file system in tests.
	wrap func(fs.FS) fs.FS
}

// Tree is a workspace as written: every document, the repos, and the agents
// that are enabled.
type Tree struct {
	opt    Options
	root   string // absolute, without symlinks
	files  fs.FS
	folder *os.Root // behind files, while they are read; nil for a commit
	commit *linkFS  // files, of a commit; nil for a folder
	report report
	closer []func() error

	name      string
	file      *schema.Workspace // zero without a workspace file
	fileDoc   *schema.Document  // nil without a workspace file that can be read
	fileSeen  bool              // there is one, whatever is in it
	fileSound bool              // all that is in it could be read
	lock      *schema.Lock      // nil without a lock file
	policy    rules
	policyCUE bool
	profile   string

	documents   []schema.Document
	sopsFiles   map[string][]byte         // files with documents that sops decrypts
	configFiles map[schema.Pos]configFile // that ConfigMaps name, by the place where they do
	ignored     []schema.Ignored
	partial     []plan.Reason
	unread      []unread // folders that cannot be read
	lookAgain   bool     // a file is being written
	revision    string

	scan        scan
	cue         map[string][]byte  // every .cue file of the workspace
	cueProblems schema.Diagnostics // of evaluating them
	lateRepos   []string           // folders of the workspace that manifests name as repos
	repos       map[string]*repo
	git         gitAnswers
	order       []string      // of repos, as added
	contexts    []*gitContext // in the order of their documents
	closure     closure
	refused     map[schema.Pos][]plan.Reason // by policy.cue: start of an object → why
}

// unread is a folder that could not be read.
type unread struct {
	dir string // slash path in the workspace
	err error
}

// Load reads a workspace. The diagnostics are what is wrong with its files; an
// error means that there is no workspace to read or that ctx was done.
func Load(ctx context.Context, o Options) (*Tree, schema.Diagnostics, error) {
	t, err := open(o)
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	if err := t.load(ctx); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	return t, t.report.diagnostics(), nil
}

func open(o Options) (*Tree, error) {
	t := &Tree{opt: o, file: &schema.Workspace{}, cue: map[string][]byte{}, refused: map[schema.Pos][]plan.Reason{}}
	if err := t.openFiles(); err != nil {
		return nil, fmt.Errorf("open workspace: %w", err)
	}
	if o.wrap != nil {
		t.folder, t.files = nil, o.wrap(t.files)
	}
	return t, nil
}

// close releases the folders that are held open. Everything is in memory by
// then.
func (t *Tree) close() {
	for _, c := range t.closer {
		c() //nolint:errcheck // of folders opened for reading
	}
}

func (t *Tree) load(ctx context.Context) error {
	t.hasPolicyCUE()
	t.loadWorkspaceFile()
	t.loadLock()
	t.walk(ctx)
	objects, err := t.loadCUE(ctx)
	if err != nil {
		return err
	}
	t.settleName()
	t.policy = strictest(t.opt.HostPolicy, t.file.Policy, t.hostHooksFlag())
	t.settleRepos(ctx, objects)
	t.readConfigFiles(ctx)
	t.warnOfIdleManifests(ctx)
	t.hashFolders(ctx)
	t.readContexts(ctx)
	t.checkFolders(ctx)
	if err := t.applyPolicyCUE(ctx); err != nil {
		return err
	}
	if t.opt.Revision != nil {
		t.revision = t.opt.Revision(t.root)
	}
	return nil
}

// hostHooksFlag is Options.HostHooks with the place that messages name.
func (t *Tree) hostHooksFlag() schema.Str {
	if t.opt.HostHooks == "" {
		return schema.Str{}
	}
	return schema.Str{V: t.opt.HostHooks, Pos: at("--host-hooks=" + t.opt.HostHooks)}
}

const summaryNoName = "workspace has no name"

// workspaceNames are the names that a workspace file may have.
func workspaceNames() []string { return []string{"workspace.yaml", "workspace.json", "workspace.cue"} }

// loadWorkspaceFile reads workspace.yaml or .json; workspace.cue is read with
// the other CUE files.
func (t *Tree) loadWorkspaceFile() {
	var found []string
	for _, name := range workspaceNames() {
		if _, err := fs.Stat(t.files, name); err == nil || !isNotExist(err) {
			found = append(found, name)
		}
	}
	if _, err := fs.Stat(t.files, "workspace.yml"); err == nil {
		t.report.warn(at("workspace.yml"), summaryNotRead, "rename it to workspace.yaml", "a workspace file is called workspace.yaml, workspace.json or workspace.cue")
	}
	if t.opt.FileName != "" {
		found = []string{t.opt.FileName}
	}
	t.fileSeen = len(found) > 0
	if len(found) > 1 {
		t.report.fail(at(found[1]), "two workspace files", "remove one of them", "the workspace file is also at %s", at(found[0]))
	}
	if len(found) == 0 || strings.HasSuffix(found[0], ".cue") {
		return
	}
	src, ok := t.opt.File, true
	if t.opt.FileName == "" {
		src, ok = t.read(t.files, found[0], found[0], true)
	}
	if !ok {
		return
	}
	f, ds := schema.DecodeFile(found[0], src, schema.Options{Kind: schema.KindWorkspace, Cache: t.opt.Cache, Unified: t.policyCUE})
	t.report.add(ds...)
	if len(f.Documents) > 1 {
		t.report.fail(f.Documents[1].Pos, "two workspace documents", "", "the file already holds one at %s", f.Documents[0].Pos)
	}
	if len(f.Documents) > 0 {
		t.setWorkspace(f.Documents[0], ds)
	}
}

// setWorkspace takes the document of the workspace file, of which ds was said.
func (t *Tree) setWorkspace(doc schema.Document, ds schema.Diagnostics) {
	ws, ok := doc.Object.(*schema.Workspace)
	if !ok {
		return
	}
	t.file, t.fileDoc, t.fileSound = ws, &doc, !ds.HasErrors()
}

// settleName works out the name and the profile, which the workspace file may
// set.
func (t *Tree) settleName() {
	t.profile = t.opt.Profile
	if t.profile == "" {
		t.profile = t.file.Profile.V
	}
	switch {
	case t.opt.Name != "":
		if t.name = t.opt.Name; !schema.IsName(t.name) {
			t.report.fail(at("."), summaryNoName, "give a name of lower-case letters, digits and dashes", "%q is not a DNS label", t.name)
		}
		return
	case t.file.Name.IsSet():
		t.name = t.file.Name.V
		return // checked with its file
	}
	base := cmp.Or(t.opt.DefaultName, filepath.Base(t.root))
	if t.name = label(base); !schema.IsName(t.name) {
		t.report.fail(at("."), summaryNoName, "write a workspace.yaml with metadata.name",
			"no DNS label can be made of the folder's name %q", base)
		t.name = ""
	}
}

// label makes a DNS label of the name of a folder; "" when nothing is left.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
	if len(s) > 63 {
		s = s[:63]
	}
	return strings.Trim(s, "-")
}

// at is the start of a file.
func at(file string) schema.Pos { return schema.Pos{File: file, Line: 1, Col: 1} }
