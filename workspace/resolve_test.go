// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata/resolve")

// Sections of an archive that are no files of the workspace.
const (
	wantDiagnostics = "diagnostics"
	wantDesired     = "desired"
	wantResources   = "resources" // desired without specs
	wantGraph       = "graph"
	wantRequests    = "requests"  // each call of Options.Git
	wantImages      = "images"    // that can be locked
	wantAuthority   = "authority" // what agents can do, and whether that is approved
	wantTasks       = "tasks"     // their runs, files and secrets
)

func isExpectation(name string) bool {
	return slices.Contains([]string{wantDiagnostics, wantDesired, wantResources, wantGraph, wantRequests, wantImages, wantAuthority, wantTasks}, name)
}

// scenario is the host that an archive describes. Its files are the
// workspace's, but for those below OUT/, which is beside the workspace, and
// below GIT/NAME/, which are committed to a repository. Lines of the comment
// set the stage:
//
//	folder NAME           the workspace's folder, default acme
//	name NAME, profile P  options of Load
//	state NAME            the state directory, in the workspace
//	var N=V, env N        variables of the command line and the environment
//	link NAME TARGET      a symbolic link in the workspace
//	mkdir NAME            a folder in the workspace
//	large NAME BYTES      a file with an apiVersion and padding
//	unreadable NAME       a file or folder that cannot be read
//	host YAML             the host's policy
//	serve NAME URL        GIT/NAME is to be had at this address
//	stale NAME WHY        the remote of a repo does not answer; there is a copy
//	fail NAME WHY         and there is none
//	offref NAME           the locked commit of a repo is no longer on its ref
//	nogit                 there is no git
//	locked                the lock file must have all; unlocked NAME: this need not count
type scenario struct {
	tmp, ws, state string
	opt            Options
	remote         remotes
	commits        map[string]string // of GIT/NAME
	unreadable     []string
}

// TestResolve loads each testdata/resolve/*.txtar and compares diagnostics,
// what is desired and the graph. -update rewrites the sections.
func TestResolve(t *testing.T) {
	files, err := filepath.Glob("../testdata/resolve/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := stage(t, ar)
			got := s.run(t)
			if again := s.run(t); !cmp.Equal(got, again) {
				t.Errorf("not deterministic (-first +second):\n%s", cmp.Diff(got, again))
			}
			changed := false
			for i, f := range ar.Files {
				text, ok := got[f.Name]
				if !ok || text == string(f.Data) {
					continue
				}
				if !*update {
					t.Errorf("%s (-want +got):\n%s", f.Name, cmp.Diff(string(f.Data), text))
				}
				ar.Files[i].Data, changed = []byte(text), true
			}
			if *update && changed {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.ContainsFunc(ar.Files, func(f txtar.File) bool { return f.Name == wantDiagnostics }) {
				t.Error("there is no section with the expected diagnostics")
			}
		})
	}
}

// remotes answers for repositories of this host, under addresses of their own
// where it says so.
type remotes struct {
	served map[string]string // URL → folder
	broken map[string]error  // by repo: the remote does not answer
	gone   map[string]bool   // by repo: there is no copy
	offRef map[string]bool   // by repo
	asked  [][]GitRequest    // what each call was for
}

func (r *remotes) git(_ context.Context, requests []GitRequest) []GitResult {
	r.asked = append(r.asked, requests)
	results := make([]GitResult, len(requests))
	for i, q := range requests {
		results[i] = r.open(q)
		if err := r.broken[q.Name]; err != nil {
			results[i].Err, results[i].Since = err, time.Unix(1700000000, 0)
		}
		if r.gone[q.Name] {
			results[i] = GitResult{Err: results[i].Err}
		}
		results[i].OffRef = r.offRef[q.Name]
	}
	return results
}

func (r *remotes) open(q GitRequest) GitResult {
	where, ok := r.served[q.URL]
	if !ok {
		where, ok = strings.CutPrefix(q.URL, "file://")
	}
	if !ok {
		return GitResult{Pending: true}
	}
	repo, err := repos.Open(where)
	if err != nil {
		return GitResult{Err: err}
	}
	commit := q.Commit
	if commit == "" {
		if commit, err = repo.Commit(q.Ref); err != nil {
			return GitResult{Err: err}
		}
	}
	files, err := repo.FS(commit)
	if err != nil {
		return GitResult{Err: err}
	}
	return GitResult{Files: files, Commit: commit}
}

func stage(t *testing.T, ar *txtar.Archive) *scenario {
	t.Helper()
	tmp, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{tmp: tmp, ws: filepath.Join(tmp, "acme"), state: filepath.Join(tmp, "state")}
	s.opt = Options{
		StateDir: s.state, Vars: map[string]string{}, SecretsDir: filepath.Join(tmp, "secrets"),
		Cache: schema.NewCache(), Revision: repos.Revision,
	}
	s.remote = remotes{served: map[string]string{}, broken: map[string]error{}, gone: map[string]bool{}, offRef: map[string]bool{}}
	s.opt.Git = s.remote.git
	var env []string
	var after []func()
	for line := range strings.Lines(string(ar.Comment)) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		words := strings.Fields(rest)
		switch verb {
		case "folder":
			s.ws = filepath.Join(tmp, rest)
		case "name":
			s.opt.Name = rest
		case "profile":
			s.opt.Profile = rest
		case "state":
			s.opt.StateDir = filepath.Join(s.ws, rest)
		case "var":
			name, v, _ := strings.Cut(rest, "=")
			s.opt.Vars[name] = v
		case "env":
			env = append(env, rest)
		case "link":
			after = append(after, func() {
				s.write(t, filepath.Join(s.ws, filepath.Dir(words[0]), ".keep"), "")
				if err := os.Symlink(s.expand(words[1]), filepath.Join(s.ws, words[0])); err != nil {
					t.Fatal(err)
				}
			})
		case "mkdir":
			after = append(after, func() { s.write(t, filepath.Join(s.ws, words[0], ".keep"), "") })
		case "large":
			after = append(after, func() {
				s.write(t, filepath.Join(s.ws, words[0]), "apiVersion: "+words[1]+"\n# "+strings.Repeat("x", maxFile)+"\n")
			})
		case "serve":
			s.remote.served[words[1]] = filepath.Join(tmp, "GIT", words[0])
		case "stale", "fail":
			s.remote.broken[words[0]] = errors.New(strings.Join(words[1:], " "))
			s.remote.gone[words[0]] = verb == "fail"
		case "offref":
			s.remote.offRef[rest] = true
		case "nogit":
			s.opt.Git = nil
		case "locked":
			s.opt.Locked = true
		case "unlocked":
			s.opt.Unlocked = func(name string) bool { return name == rest }
		case "unreadable":
			s.unreadable = append(s.unreadable, rest)
		case "host":
			var ds schema.Diagnostics
			var p schema.Policy
			if p, ds = schema.DecodePolicy("/etc/reconcile/policy.yaml", []byte(rest+"\n")); ds.HasErrors() {
				t.Fatal(ds)
			}
			s.opt.HostPolicy = &p
		}
	}
	s.opt.Dir = s.ws
	s.opt.LookupEnv = func(name string) (string, bool) {
		if name == "XDG_RUNTIME_DIR" {
			return filepath.Join(tmp, "run"), true
		}
		return "value of " + name, slices.Contains(env, name)
	}
	if len(s.unreadable) > 0 {
		s.opt.wrap = func(files fs.FS) fs.FS { return deaf{files.(fs.ReadDirFS), s.unreadable} }
	}
	s.files(t, ar)
	for _, f := range after {
		f()
	}
	return s
}

// files commits the archive's repositories and writes its other files, which
// may name the commits.
func (s *scenario) files(t *testing.T, ar *txtar.Archive) {
	t.Helper()
	if err := os.MkdirAll(s.ws, 0o755); err != nil {
		t.Fatal(err)
	}
	s.commits = map[string]string{}
	gits := map[string]bool{}
	for _, f := range ar.Files {
		if rest, ok := strings.CutPrefix(f.Name, "GIT/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			gits[name] = true
			s.write(t, filepath.Join(s.tmp, f.Name), s.expand(string(f.Data)))
		}
	}
	for name := range gits {
		s.commits[name] = commitAll(t, filepath.Join(s.tmp, "GIT", name))
	}
	for _, f := range ar.Files {
		name := filepath.Join(s.ws, f.Name)
		if strings.HasPrefix(f.Name, "OUT/") {
			name = filepath.Join(s.tmp, f.Name)
		}
		if !isExpectation(f.Name) && !strings.HasPrefix(f.Name, "GIT/") {
			s.write(t, name, s.expand(string(f.Data)))
		}
	}
}

// commitAll makes a repository of a folder and returns its commit.
func commitAll(t *testing.T, dir string) string {
	t.Helper()
	r, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	who := &object.Signature{Name: "a", Email: "a@example.org", When: time.Unix(1700000000, 0).UTC()}
	commit, err := w.Commit("first", &git.CommitOptions{Author: who, Committer: who})
	if err != nil {
		t.Fatal(err)
	}
	return commit.String()
}

func (s *scenario) write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	mode := os.FileMode(0o644)
	if strings.HasSuffix(file, ".sh") {
		mode = 0o755
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// expand puts real paths in the place of $WS, $TMP, the commit of GIT/NAME in
// that of $COMMIT/NAME and control characters in the place of \x07.
func (s *scenario) expand(text string) string {
	for name, commit := range s.commits {
		text = strings.ReplaceAll(text, "$COMMIT/"+name, commit)
	}
	return strings.NewReplacer("$WS", s.ws, "$TMP", s.tmp, `\x07`, "\x07", `\xff`, "\xff").Replace(text)
}

// run returns the sections of an archive.
func (s *scenario) run(t *testing.T) map[string]string {
	t.Helper()
	s.remote.asked = nil
	tree, ds, err := Load(t.Context(), s.opt)
	if err != nil {
		t.Fatal(err)
	}
	res := tree.Resolve()
	if again := tree.Resolve(); !cmp.Equal(res, again) {
		t.Errorf("Resolve gives two results (-first +second):\n%s", cmp.Diff(res, again))
	}
	var out strings.Builder
	all := append(ds, res.Diagnostics...).Sort()
	for _, d := range all {
		fmt.Fprintln(&out, d)
		if d.Policy {
			fmt.Fprintln(&out, "    policy: true")
		}
	}
	if res.Fatal {
		fmt.Fprintln(&out, "fatal")
	}
	for _, ig := range res.Ignored {
		fmt.Fprintf(&out, "ignored: %s: %s\n", ig.Pos, ig.Why)
	}
	if res.Fatal && !all.HasErrors() {
		t.Error("fatal without an error")
	}
	clean := strings.NewReplacer(s.ws, "$WS", s.tmp, "$TMP", "\x07", `\x07`)
	return map[string]string{
		wantDiagnostics: clean.Replace(out.String()),
		wantDesired:     clean.Replace(desiredText(t, res.Desired, true)),
		wantResources:   clean.Replace(desiredText(t, res.Desired, false)),
		wantGraph:       clean.Replace(graphText(res.Graph)),
		wantRequests:    clean.Replace(requestsText(t, s.remote.asked, tree)),
		wantImages:      clean.Replace(imagesText(res.Images)),
		wantAuthority:   clean.Replace(authorityText(res.Desired)),
		wantTasks:       clean.Replace(tasksText(res)),
	}
}

func authorityText(d plan.Desired) string {
	var b strings.Builder
	if d.Approvals.Required {
		b.WriteString("approval is required\n")
	}
	for _, id := range plan.Approvers(d) {
		fmt.Fprintf(&b, "%s can write the lock file\n", id)
	}
	for _, g := range plan.Standing(d, plan.Records{}) {
		approved := ""
		if g.Approved {
			approved = ", approved"
		}
		fmt.Fprintf(&b, "%s: it %s\n  %s (%s%s)\n", g.ID, g.Text, g.Key, g.Origin, approved)
	}
	return b.String()
}

// desiredText prints a line for each thing that a golden file should show.
func desiredText(t *testing.T, d plan.Desired, specs bool) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "workspace %s root %s source %s", d.Workspace, d.Root, d.Source)
	if d.Empty {
		b.WriteString(" empty")
	}
	b.WriteString("\n")
	for _, p := range d.Partial {
		fmt.Fprintf(&b, "partial %s: %s (%s)\n", p.Code, p.Text, p.Origin)
	}
	for i, r := range d.Resources {
		if i > 0 && d.Resources[i-1].ID.Compare(r.ID) >= 0 {
			t.Errorf("resources are out of order at %s", r.ID)
		}
		if specs {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s: %s from %s", r.ID, r.Name, r.Origin)
		if r.Want != "" {
			fmt.Fprintf(&b, ", %s", r.Want)
		}
		if r.Restart != (plan.Restart{}) {
			fmt.Fprintf(&b, ", restart %s max %d", r.Restart.Policy, r.Restart.Max)
			if r.Restart.Curve != "" || r.Restart.Lifetime != 0 {
				fmt.Fprintf(&b, " curve %s lifetime %s", r.Restart.Curve, r.Restart.Lifetime)
			}
		}
		b.WriteString("\n")
		for _, why := range r.Blocked {
			fmt.Fprintf(&b, "  blocked %s: %s (%s)\n", why.Code, why.Text, why.Origin)
		}
		for _, n := range r.Needs {
			bound := ""
			if n.Bound {
				bound = ", bound"
			}
			fmt.Fprintf(&b, "  needs %s %s%s (%s)\n", n.On, n.Until, bound, n.Origin)
		}
		for _, h := range r.Hooks {
			hookText(&b, h, specs)
		}
		if r.Dispatch != nil && specs {
			settings := r.Dispatch.Data()
			for _, key := range slices.Sorted(maps.Keys(settings)) {
				fmt.Fprintf(&b, "  %s: %s\n", key, settings[key])
			}
		}
		if specs {
			specText(t, &b, r.Spec)
		}
	}
	return b.String()
}

func hookText(b *strings.Builder, h plan.Hook, whole bool) {
	fmt.Fprintf(b, "  hook %s (%s)", h.Name, h.Origin)
	if h.Locked {
		b.WriteString(", locked")
	}
	if h.Host() {
		fmt.Fprintf(b, " in %q copy %t", h.Dir, h.InCopy)
	}
	fmt.Fprintf(b, " within %v\n", h.Timeout)
	for _, line := range h.Text() {
		fmt.Fprintf(b, "    %s\n", line)
	}
	if !whole {
		return
	}
	fmt.Fprintf(b, "    digest %s revision %.7s\n", h.Digest, h.Revision)
	for _, v := range h.Env {
		fmt.Fprintf(b, "    env %s=%s%s\n", v.Name, v.Value, v.Secret)
	}
}

func specText(t *testing.T, b *strings.Builder, spec plan.Spec) {
	t.Helper()
	var whole struct {
		Container map[string]json.RawMessage
		Image     map[string]json.RawMessage
		Network   json.RawMessage
	}
	src, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(src, &whole); err != nil {
		t.Fatal(err)
	}
	if whole.Network != nil {
		fmt.Fprintf(b, "  network %s\n", whole.Network)
	}
	if whole.Image != nil {
		whole.Container = whole.Image
	}
	keys := make([]string, 0, len(whole.Container))
	for k := range whole.Container {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var list []json.RawMessage
		if json.Unmarshal(whole.Container[k], &list) == nil && (k == "env" || k == "mounts" || k == "ports") {
			for _, item := range list {
				fmt.Fprintf(b, "  %s %s\n", k, item)
			}
			continue
		}
		fmt.Fprintf(b, "  %s %s\n", k, whole.Container[k])
	}
}

// requestsText prints a line for each request, and one between calls.
func requestsText(t *testing.T, asked [][]GitRequest, tree *Tree) string {
	t.Helper()
	var b strings.Builder
	var all []GitRequest
	for i, call := range asked {
		fmt.Fprintf(&b, "call %d\n", i+1)
		for _, q := range call {
			fmt.Fprintf(&b, "  %s %s", q.Name, q.URL)
			for _, f := range []struct{ name, value string }{{"ref", q.Ref}, {"commit", q.Commit}, {"secret", q.SecretRef}} {
				if f.value != "" {
					fmt.Fprintf(&b, " %s %s", f.name, f.value)
				}
			}
			if q.Depth != 0 || q.Exec {
				fmt.Fprintf(&b, " depth %d exec %v", q.Depth, q.Exec)
			}
			b.WriteString("\n")
		}
		all = append(all, call...)
	}
	if diff := cmp.Diff(all, tree.GitRequests()); diff != "" {
		t.Errorf("GitRequests are not what was asked for (-asked +GitRequests):\n%s", diff)
	}
	return b.String()
}

func imagesText(images []Image) string {
	var b strings.Builder
	for _, img := range images {
		fmt.Fprintf(&b, "%s %s (%s)\n", img.Ref, img.Digest, img.Pos)
	}
	return b.String()
}

func graphText(g *Graph) string {
	var b strings.Builder
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%s: %s/%s %s %s (%s)", n.ID, n.Repo, n.Agent, n.Mode, n.Devel, n.Origin)
		if n.Blocked {
			b.WriteString(" blocked")
		}
		b.WriteString("\n")
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "%q -> %q by %q (%s) no-wait=%v %s\n", e.From, e.To, e.Text, e.Origin, e.NoWait, strings.Join(e.Cycle, "->"))
	}
	for _, n := range g.Nodes {
		for _, chain := range g.Why(n.Name) {
			fmt.Fprintf(&b, "why %s:", n.Name)
			for _, e := range chain {
				fmt.Fprintf(&b, " %s (%s)", e.To, e.Origin)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// deaf is a file system with entries that cannot be read: a test that runs as
// root has no other way to make some.
type deaf struct {
	fs.ReadDirFS
	names []string
}

var errDeaf = errors.New("permission denied")

func (d deaf) Open(name string) (fs.File, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDeaf}
	}
	return d.ReadDirFS.Open(name)
}

func (d deaf) ReadDir(name string) ([]fs.DirEntry, error) {
	if slices.Contains(d.names, name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDeaf}
	}
	return d.ReadDirFS.ReadDir(name)
}

func (d deaf) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(d.ReadDirFS, name) }

func (d deaf) ReadLink(name string) (string, error) { return fs.ReadLink(d.ReadDirFS, name) }
