// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"

	"reconcile/repos/repostest"
)

const ciDir = "../../examples/ci"

// comments is a forge that keeps the comments of pull request 7 of acme/ws, as
// GitHub, Gitea and Forgejo below /api and GitLab below /gitlab.
type comments struct {
	bot string // as whom the token comments

	mu   sync.Mutex
	list []comment
	did  []string // method and path of what changed something
}

// pageSize is the most that a forge gives at once: less than is asked for.
const pageSize = 50

type comment struct {
	ID     int               `json:"id"`
	Body   string            `json:"body"`
	User   map[string]string `json:"user"`
	Author map[string]string `json:"author"`
}

func (c *comments) add(login, body string) comment {
	one := comment{ID: len(c.list) + 1, Body: body, User: map[string]string{"login": login}, Author: map[string]string{"username": login}}
	c.list = append(c.list, one)
	return one
}

func (c *comments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Header.Get("Authorization") != "token tok-3141" && r.Header.Get("Private-Token") != "tok-3141" {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	var body struct{ Body string }
	if r.Method != http.MethodGet {
		c.did = append(c.did, r.Method+" "+r.URL.Path)
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	lists := []string{"/api/repos/acme/ws/issues/7/comments", "/gitlab/projects/42/merge_requests/7/notes"}
	var id int
	if n, _ := fmt.Sscanf(r.URL.Path, "/api/repos/acme/ws/issues/comments/%d", &id); n == 0 {
		fmt.Sscanf(r.URL.Path, lists[1]+"/%d", &id)
	}
	update := map[bool]string{true: http.MethodPut, false: http.MethodPatch}[strings.HasPrefix(r.URL.Path, "/gitlab/")]
	var answer any
	switch {
	case r.Method == http.MethodGet && slices.Contains(lists, r.URL.Path):
		var page int
		fmt.Sscan(r.URL.Query().Get("page"), &page)
		from := min(len(c.list), (page-1)*pageSize)
		answer = append([]comment{}, c.list[from:min(len(c.list), from+pageSize)]...)
	case r.Method == http.MethodPost && slices.Contains(lists, r.URL.Path):
		answer = c.add(c.bot, body.Body)
	case r.Method == update && id > 0 && id <= len(c.list):
		c.list[id-1].Body = body.Body
		answer = c.list[id-1]
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// plans returns the bodies that the bot wrote.
func (c *comments) plans() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, one := range c.list {
		if one.User["login"] == c.bot {
			out = append(out, one.Body)
		}
	}
	return out
}

// ciBed is a checkout of a workspace with two commits, as a job finds it, and
// the environment of the job.
type ciBed struct {
	t     *testing.T
	dir   string
	env   map[string]string
	forge *comments
}

func newCIBed(t *testing.T) *ciBed {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	bin := filepath.Join(tmp, "self")
	b := &ciBed{t: t, dir: filepath.Join(tmp, "checkout"), forge: &comments{bot: "plan-bot"}}
	for _, dir := range []string{bin, b.dir, filepath.Join(tmp, "home")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, filepath.Join(bin, "reconcile")); err != nil {
		t.Fatal(err)
	}
	download := []byte("#!/bin/sh\nexec " + filepath.Join(bin, "reconcile") + " \"$@\"\n")
	mux := http.NewServeMux()
	mux.Handle("/", b.forge)
	mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(download) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.env = map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": filepath.Join(tmp, "home"), "TMPDIR": tmp, "CI": "true",
		"RECONCILE_STATE_DIR": filepath.Join(tmp, "state"), "CONTAINER_HOST": "unix:///no/such/podman.sock",
		"RECONCILE_URL": server.URL + "/download", "RECONCILE_SHA256": fmt.Sprintf("%x", sha256.Sum256(download)),
		"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
		"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
		"RUNNER_TEMP": tmp, "GITHUB_PATH": filepath.Join(tmp, "path"), "GITHUB_STEP_SUMMARY": filepath.Join(tmp, "summary"),
		"SERVER": server.URL,
	}
	b.write("workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  enable: [web]\n")
	b.write("agents/web/manifest.yaml", "container: localhost/test/tool\nagent: /bin/tool pause\n")
	if err := os.CopyFS(filepath.Join(b.dir, "examples/ci"), os.DirFS(ciDir)); err != nil {
		t.Fatal(err)
	}
	b.git("init", "-q", "-b", "main")
	b.commit("first")
	b.write("agents/web/manifest.yaml", "container: localhost/test/tool\nagent: /bin/tool pause\nenv: {LEVEL: debug}\n")
	b.commit("say more")
	return b
}

func (b *ciBed) write(name, text string) {
	b.t.Helper()
	name = filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *ciBed) git(args ...string) string {
	b.t.Helper()
	return strings.TrimSpace(repostest.Git(b.t, b.dir, args...))
}

func (b *ciBed) commit(message string) {
	b.t.Helper()
	b.git("add", "-A")
	b.git("commit", "-q", "-m", message)
}

// run runs a script as a runner does, and returns its exit code and output.
func (b *ciBed) run(shell []string, script string, env map[string]string) (int, string) {
	b.t.Helper()
	all := maps.Clone(b.env)
	maps.Copy(all, env)
	if added, err := os.ReadFile(b.env["GITHUB_PATH"]); err == nil {
		all["PATH"] = strings.Join(strings.Fields(string(added)), ":") + ":" + all["PATH"]
	}
	cmd := exec.CommandContext(b.t.Context(), shell[0], append(shell[1:], script)...)
	cmd.Dir = b.dir
	for k, v := range all {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		b.t.Fatal(err)
	}
	if strings.Contains(string(out), "tok-3141") {
		b.t.Errorf("the token is in the log:\n%s", out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// workflow is what a recipe for GitHub or Gitea has for a runner.
type workflow struct {
	Env  map[string]string
	Jobs map[string]struct {
		Steps []struct {
			Name, Uses, Run, If string
			Env                 map[string]string
		}
	}
}

var expression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// job runs the steps of a workflow, those after a failure only if they say so,
// and returns the exit code of the first that failed, and all output.
func (b *ciBed) job(file string, context map[string]string) (code int, log string) {
	b.t.Helper()
	var w workflow
	b.decode(file, &w)
	expand := func(s string) string {
		return expression.ReplaceAllStringFunc(s, func(m string) string {
			name := expression.FindStringSubmatch(m)[1]
			v, ok := context[name]
			if !ok {
				b.t.Errorf("%s: nothing says what %s is", file, name)
			}
			return v
		})
	}
	for _, step := range w.Jobs["plan"].Steps {
		if step.Uses != "" || code != 0 && step.If == "" {
			continue
		}
		env := map[string]string{}
		for _, vars := range []map[string]string{w.Env, step.Env} {
			for k, v := range vars {
				if v = expand(v); v != "" {
					env[k] = v
				}
			}
		}
		got, out := b.run([]string{"bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"}, step.Run, env)
		log += out
		if code == 0 {
			code = got
		}
	}
	return code, log
}

func (b *ciBed) decode(file string, v any) {
	b.t.Helper()
	src, err := os.ReadFile(filepath.Join(ciDir, file))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := yaml.Unmarshal(src, v); err != nil {
		b.t.Fatalf("%s: %v", file, err)
	}
}

// gitlab runs the job of the recipe for GitLab: all lines are one script.
func (b *ciBed) gitlab() (int, string) {
	b.t.Helper()
	var doc struct {
		Reconcile struct {
			Variables    map[string]string
			BeforeScript []string `yaml:"before_script"`
			Script       []string
		}
	}
	b.decode("gitlab.yml", &doc)
	env := map[string]string{
		"CI_PROJECT_DIR": b.dir, "CI_MERGE_REQUEST_DIFF_BASE_SHA": b.git("rev-parse", "HEAD~1"), "CI_API_V4_URL": b.env["SERVER"] + "/gitlab",
		"CI_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7", "RECONCILE_TOKEN": "tok-3141", "RECONCILE_AUTHOR": "plan-bot",
	}
	maps.Copy(env, doc.Reconcile.Variables)
	script := strings.Join(append(doc.Reconcile.BeforeScript, doc.Reconcile.Script...), "\n")
	return b.run([]string{"sh", "-e", "-c"}, script, env)
}

// TestCIRecipes runs each recipe of examples/ci as its runner would, twice, with
// another change in between: there is one comment, and it shows the last plan.
func TestCIRecipes(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(*ciBed) (int, string)
		log  string // what the job shows beside the comment
	}{
		{"github", func(b *ciBed) (int, string) {
			return b.job("github.yml", map[string]string{
				"vars.RECONCILE_URL": "", "vars.RECONCILE_SHA256": "", "github.api_url": b.env["SERVER"] + "/api",
				"github.token": "tok-3141", "github.repository": "acme/ws", "github.event.pull_request.number": "7",
			})
		}, "::notice "},
		{"gitea", func(b *ciBed) (int, string) {
			return b.job("gitea.yml", map[string]string{
				"vars.RECONCILE_URL": "", "vars.RECONCILE_SHA256": "", "github.api_url": b.env["SERVER"] + "/api", "secrets.RECONCILE_TOKEN": "tok-3141",
				"github.event.pull_request.base.sha": b.git("rev-parse", "HEAD~1"), "github.repository": "acme/ws",
				"github.event.pull_request.number": "7", "vars.RECONCILE_AUTHOR": "plan-bot",
			})
		}, ""},
		{"gitlab", (*ciBed).gitlab, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newCIBed(t)
			if tt.name == "github" {
				b.forge.bot = "github-actions[bot]"
			}
			for i := range 120 {
				b.forge.add("somebody", fmt.Sprintf("comment %d", i)) // more than two pages
			}
			b.forge.add("mallory", "<!-- reconcile:acme -->\nnothing to see here")
			run := func(want int, texts ...string) {
				t.Helper()
				code, log := tt.run(b)
				if code != want || !strings.Contains(log, tt.log) {
					t.Errorf("exit code %d, want %d, and a log with %q:\n%s", code, want, tt.log, log)
				}
				plans := b.forge.plans()
				if len(plans) != 1 {
					t.Fatalf("%d comments, want one\n%s", len(plans), log)
				}
				for _, text := range append(texts, "<!-- reconcile:acme -->\n") {
					if !strings.Contains(plans[0], text) {
						t.Errorf("the comment lacks %q:\n%s", text, plans[0])
					}
				}
			}
			run(0, "LEVEL", "manifest/web")
			b.write("workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  enable: []\n")
			b.commit("no more")
			run(0, " to delete")
			b.write("workspace.yaml", "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: acme}\nspec:\n  enable: [web, nobody]\n")
			b.commit("a mistake")
			run(1, "### nothing planned", "unknown agent")
			var want []string
			switch tt.name {
			case "gitlab":
				want = []string{"POST /gitlab/projects/42/merge_requests/7/notes", "PUT /gitlab/projects/42/merge_requests/7/notes/122"}
			default:
				want = []string{"POST /api/repos/acme/ws/issues/7/comments", "PATCH /api/repos/acme/ws/issues/comments/122"}
			}
			if got := slices.Compact(b.forge.did); !slices.Equal(got, want) {
				t.Errorf("the forge was told\n%q, want\n%q", got, want)
			}
			if got := b.forge.list[120].Body; !strings.Contains(got, "nothing to see here") {
				t.Errorf("somebody else's comment was changed: %s", got)
			}
		})
	}
}

// TestCIInstall takes nothing but what is expected.
func TestCIInstall(t *testing.T) {
	b := newCIBed(t)
	code, out := b.run([]string{"sh", "-c"}, "examples/ci/install.sh ../bin", map[string]string{"RECONCILE_SHA256": strings.Repeat("0", 64)})
	if _, err := os.Stat(filepath.Join(b.dir, "../bin/reconcile")); code == 0 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("exit code %d, file: %v\n%s", code, err, out)
	}
	if code, out := b.run([]string{"sh", "-c"}, "examples/ci/install.sh ../bin && ../bin/reconcile version", nil); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestPreCommitHook refuses a commit with a mistake, whatever lies beside what
// is staged.
func TestPreCommitHook(t *testing.T) {
	b := newCIBed(t)
	commit := func(want int, what, expect string) {
		t.Helper()
		env := map[string]string{"PATH": filepath.Join(filepath.Dir(b.dir), "self") + ":" + b.env["PATH"]}
		if code, out := b.run([]string{"sh", "-c"}, "git commit -q -m "+what, env); code != want || !strings.Contains(out, expect) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", what, code, want, expect, out)
		}
	}
	if code, out := b.run([]string{"sh", "-c"}, "install -m 0755 examples/ci/pre-commit .git/hooks/pre-commit", nil); code != 0 {
		t.Fatal(out)
	}
	good := "container: localhost/test/tool\nagent: /bin/tool pause\nenv: {LEVEL: info}\n"
	b.write("agents/web/manifest.yaml", "container: localhost/test/tool\nagnet: /bin/tool pause\n")
	b.git("add", "-A")
	b.write("agents/web/manifest.yaml", good)
	commit(1, "mistake", `did you mean "agent"`)
	b.git("add", "-A")
	b.write("agents/web/manifest.yaml", "agnet: not staged\n")
	commit(0, "good", "")
	if got := b.git("log", "-1", "--format=%s"); got != "good" {
		t.Errorf("the last commit is %q", got)
	}
}

// TestCIMake runs the targets that need no host.
func TestCIMake(t *testing.T) {
	b := newCIBed(t)
	env := map[string]string{"PATH": filepath.Join(filepath.Dir(b.dir), "self") + ":" + b.env["PATH"]}
	code, out := b.run([]string{"sh", "-c"}, "make -s -f examples/ci/reconcile.mk plan BASE=HEAD~1", env)
	if code != 0 || !strings.Contains(out, "LEVEL") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestCIDocs runs the commands of docs/ci.md, and finds every recipe in it.
func TestCIDocs(t *testing.T) {
	src, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(ciDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.Contains(string(src), "](../examples/ci/"+e.Name()+")") {
			t.Errorf("docs/ci.md says nothing of examples/ci/%s", e.Name())
		}
		f, err := os.Open(filepath.Join(ciDir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 9)
		_, _ = io.ReadFull(f, head)
		f.Close()
		if string(head) != "#!/bin/sh" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(ciDir, e.Name())).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", e.Name(), err, out)
		}
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(src), -1)
	if len(blocks) == 0 {
		t.Fatal("docs/ci.md has no commands")
	}
	b := newCIBed(t)
	env := map[string]string{"PATH": filepath.Join(filepath.Dir(b.dir), "self") + ":" + b.env["PATH"]}
	for _, block := range blocks {
		if code, out := b.run([]string{"sh", "-e", "-c"}, block[1], env); code != 0 {
			t.Errorf("exit code %d\n%s\n%s", code, block[1], out)
		}
	}
	for _, name := range []string{"plan.md", "plan.json", "reconcile.sarif"} {
		if info, err := os.Stat(filepath.Join(b.dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
