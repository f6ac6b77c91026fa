// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/libpod/define"
	"github.com/containers/podman/v5/pkg/bindings"
	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/google/go-cmp/cmp"

	"reconcile/helper"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
	"reconcile/tree"
)

const runOne = "0123456789ab"

// runBed is a bed for tasks.
type runBed struct {
	*bed
	state, secrets string
	env            map[string]string
}

func newRunBed(t testing.TB, edit func(*podman.Options)) *runBed {
	t.Helper()
	b := &runBed{state: t.TempDir(), secrets: t.TempDir(), env: map[string]string{}}
	b.bed = newBed(t, func(o *podman.Options) {
		o.StateDir, o.SecretsDir = b.state, b.secrets
		o.LookupEnv = func(name string) (string, bool) { v, ok := b.env[name]; return v, ok }
		if edit != nil {
			edit(o)
		}
	})
	b.d.Contents, b.d.Sealed = map[string][]byte{}, map[string]plan.Sealed{}
	return b
}

// taskImage has a shell and the helper. An agent is one of its users.
func taskImage(t testing.TB, changes ...string) string {
	name := "conformance"
	o := podmantest.ImageOptions{
		Busybox: true, Files: map[string]string{helper.Server: string(agentServer(t))}, Changes: changes,
	}
	if len(changes) > 0 {
		name = "task-" + strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return '-'
		}, strings.ToLower(strings.Trim(strings.Join(changes, "-"), "[]\"")))
		o.Files["/etc/passwd"] = "root:x:0:0::/:/bin/sh\nagent:x:1000:1001::/home/agent:/bin/sh\n"
		o.Files["/etc/group"] = "root:x:0:\nagent:x:1001:\n"
	}
	return podmantest.Image(t, name, o)
}

// file is a file with a content.
func (b *runBed) file(path, content string, mode uint32) plan.File {
	sum := sha256.Sum256([]byte(content))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	b.d.Contents[digest] = []byte(content)
	return plan.File{Path: path, Digest: digest, Mode: mode}
}

// secret writes a value of a secret with several.
func (b *runBed) secret(t testing.TB, name, key, value string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(b.secrets, name), 0o700))
	must(t, os.WriteFile(filepath.Join(b.secrets, name, key), []byte(value), 0o600))
	return "key:" + name + "/" + key
}

// task wants a task that runs a shell script.
func (b *runBed) task(t testing.TB, script string, edit func(*plan.ContainerSpec)) plan.ID {
	t.Helper()
	id := plan.ID{Kind: plan.Task, Name: "a"}
	c := plan.ContainerSpec{
		Image: taskImage(t), Helper: true, Main: plan.Process{Command: []string{"/bin/sh", "-c", script}},
		StopTimeout: 2, Task: &plan.TaskSpec{Dir: plan.RunsDir(b.state, b.d.Workspace, id)},
	}
	if edit != nil {
		edit(&c)
	}
	b.add(plan.Resource{
		ID: id, Name: b.d.Workspace + "-task-a", Origin: "x:1:1", Spec: plan.Spec{Container: &c},
		Want: plan.WantOnce, Run: &plan.Run{Key: runOne},
	})
	return id
}

// ofRun is a step of the run with a key.
func (b *runBed) ofRun(t testing.TB, op plan.Op, id plan.ID, key string) plan.Step {
	t.Helper()
	s := b.step(t, id)
	s.ID, s.Op, s.Run, s.RunName = string(op), op, key, id.Name
	if key != runOne {
		s.Name += "-" + key[max(0, len(key)-1):]
	}
	return s
}

// begin prepares, creates and starts the run.
func (b *runBed) begin(t testing.TB, id plan.ID, key string) plan.Object {
	t.Helper()
	obj := b.made(t, id, key)
	s := on(plan.OpStart, obj)
	s.Run = key
	b.do(t, s)
	return obj
}

func (b *runBed) made(t testing.TB, id plan.ID, key string) plan.Object {
	t.Helper()
	b.do(t, b.ofRun(t, plan.OpPrepare, id, key))
	return b.do(t, b.ofRun(t, plan.OpCreate, id, key))
}

// exited waits for the end of the run.
func (b *runBed) exited(t testing.TB, id plan.ID) plan.Object {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if obj := b.object(t, id); obj.State == plan.StateExited {
			return obj
		}
		if time.Now().After(end) {
			t.Fatalf("%s has not ended", id)
		}
	}
}

// finish runs the run to its end and returns what it printed.
func (b *runBed) finish(t testing.TB, id plan.ID, key string) string {
	t.Helper()
	obj := b.begin(t, id, key)
	if end := b.exited(t, id); end.Outcome == nil || end.Outcome.Code != 0 {
		t.Errorf("outcome %+v, want code 0; it said:\n%s", end.Outcome, b.logs(t, obj.Handle))
	}
	return b.logs(t, obj.Handle)
}

// running waits until the script of a run has said "ready".
func (b *runBed) running(t testing.TB, obj plan.Object) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(b.logs(t, obj.Handle), "ready\n"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is not ready; it said:\n%s", b.logs(t, obj.Handle))
		}
	}
}

func (b *runBed) folder(id plan.ID, key string) string {
	return filepath.Join(b.resource(id).Spec.Container.Task.Dir, key)
}

// asUser runs a command in a container as somebody and returns its exit code.
func asUser(t testing.TB, handle, user string, argv ...string) int {
	t.Helper()
	config := execConfig(argv...)
	config.User, config.AttachStdout, config.AttachStderr = user, true, true
	conn, err := bindings.NewConnection(t.Context(), podmantest.Socket(t)) // an attach takes its connection over
	must(t, err)
	id, err := containers.ExecCreate(conn, handle, config)
	must(t, err)
	var said strings.Builder
	must(t, containers.ExecStartAndAttach(conn, id, new(containers.ExecStartAndAttachOptions).
		WithOutputStream(&said).WithErrorStream(&said).WithAttachOutput(true).WithAttachError(true)))
	got, err := containers.ExecInspect(conn, id, nil)
	must(t, err)
	if got.ExitCode != 0 && !strings.Contains(said.String(), "denied") && !strings.Contains(said.String(), "Read-only") {
		t.Errorf("%v as %s: %s", argv, user, &said)
	}
	return got.ExitCode
}

// TestRunFilesInside: what a run finds, as seen by its process: files of each kind
// with the right owner and mode, a workspace that it can write to, secrets that it
// alone can read, and folders above them in which it can write.
func TestRunFilesInside(t *testing.T) {
	for _, tt := range []struct {
		name, user string
		changes    []string
		uid, gid   int
	}{
		{name: "root"},
		{name: "image user", changes: []string{"USER agent"}, uid: 1000, gid: 1001},
		{name: "spec user", user: "77:88", uid: 77, gid: 88},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newRunBed(t, nil)
			from := t.TempDir()
			must(t, os.Mkdir(filepath.Join(from, "sub"), 0o755))
			must(t, os.WriteFile(filepath.Join(from, "sub", "run"), []byte("#!/bin/sh\necho from git\n"), 0o755))
			must(t, os.Symlink("sub/run", filepath.Join(from, "link")))
			hash, err := tree.Hash(os.DirFS(from))
			must(t, err)
			key := b.secret(t, "ssh", "id", "-----KEY-----\n")
			b.secret(t, "all", "one", "1")
			b.secret(t, "all", "two.txt", "2\n")
			b.secret(t, "vars", "FROM_KEYS", "v\n")
			none := b.secret(t, "ssh", "none", "")
			big := strings.Repeat("0123456789abcde\n", 5<<16) // 5 MB
			id := b.task(t, `echo x > /workspace/new && echo x > /workspace/git/new && echo x > /home/agent/.ssh/known_hosts &&
				/workspace/git/sub/run && echo "$TASK_NAME $FROM_KEYS $ONE <$EMPTY>" && pwd && echo ready; sleep 1000`, func(c *plan.ContainerSpec) {
				c.Image, c.User = taskImage(t, tt.changes...), tt.user
				c.Mounts = []plan.Mount{
					{Type: plan.MountFiles, Target: "/etc/agent/one.conf", ReadOnly: true, Files: []plan.File{b.file("", "one\n", 0o400)}},
					{Type: plan.MountFiles, Target: "/ro", ReadOnly: true, Files: []plan.File{b.file("f", "f", 0)}},
					{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{
						b.file("ctx/deep/a.md", "a", 0o755), {Path: "git", From: from, TreeHash: hash}, b.file("task.md", big, 0),
					}},
				}
				c.Env = []plan.EnvVar{{Name: "EMPTY", Secret: none}, {Name: "ONE", Secret: "key:all/one"}}
				c.EnvFrom = []string{"keys:vars"}
				c.SecretFiles = []plan.SecretFile{
					{Ref: key, Target: "/home/agent/.ssh/id", Mode: 0o400},
					{Ref: none, Target: "/home/agent/.ssh/none", Mode: 0o640},
					{Ref: "keys:all", Target: "/keys/all", Mode: 0o600},
					{Ref: "keys:all", Target: "/workspace/creds/all", Mode: 0o440},
					{Ref: key, Target: "/workspace/creds/key", Mode: 0o444},
				}
			})
			obj := b.begin(t, id, runOne)
			b.running(t, obj)
			if got, want := b.logs(t, obj.Handle), "from git\na v 1 <>\n/\nready\n"; got != want {
				t.Errorf("it said %q, want %q", got, want)
			}
			dir := fs.ModeDir | 0o755
			for path, want := range map[string]reconciletest.Seen{
				"/etc/agent":                   {Mode: dir},
				"/etc/agent/one.conf":          {Content: "one\n", Mode: 0o400},
				"/home/agent":                  {Mode: dir},
				"/home/agent/.ssh":             {Mode: dir},
				"/home/agent/.ssh/id":          {Content: "-----KEY-----\n", Mode: 0o400},
				"/home/agent/.ssh/known_hosts": {Content: "x\n", Mode: 0o644},
				"/home/agent/.ssh/none":        {Mode: 0o640},
				"/keys":                        {Mode: dir},
				"/keys/all":                    {Mode: dir},
				"/keys/all/one":                {Content: "1", Mode: 0o600},
				"/keys/all/two.txt":            {Content: "2\n", Mode: 0o600},
				"/ro":                          {Mode: dir},
				"/ro/f":                        {Content: "f", Mode: 0o644},
				"/run/reconcile-task":          {Mode: dir},
				"/workspace":                   {Mode: dir},
				"/workspace/creds":             {Mode: dir},
				"/workspace/creds/all":         {Mode: dir},
				"/workspace/creds/all/one":     {Content: "1", Mode: 0o440},
				"/workspace/creds/all/two.txt": {Content: "2\n", Mode: 0o440},
				"/workspace/creds/key":         {Content: "-----KEY-----\n", Mode: 0o444},
				"/workspace/ctx":               {Mode: dir},
				"/workspace/ctx/deep":          {Mode: dir},
				"/workspace/ctx/deep/a.md":     {Content: "a", Mode: 0o755},
				"/workspace/git":               {Mode: dir},
				"/workspace/git/link":          {Mode: fs.ModeSymlink | 0o777},
				"/workspace/git/sub/run":       {Content: "#!/bin/sh\necho from git\n", Mode: 0o755},
				"/workspace/new":               {Content: "x\n", Mode: 0o644},
				"/workspace/task.md":           {Content: big, Mode: 0o644},
			} {
				want.UID, want.GID = tt.uid, tt.gid
				got, ok := look(t, obj.Handle, path)
				if diff := cmp.Diff(want, got); !ok || diff != "" {
					t.Errorf("%s (-want +got):\n%.400s", path, diff)
				}
			}
			if got, ok := look(t, obj.Handle, "/etc"); tt.changes != nil && (!ok || got.UID != 0) {
				t.Errorf("/etc, which the image has, belongs to %d", got.UID)
			}

			own := fmt.Sprintf("%d:%d", tt.uid, tt.gid)
			if code := asUser(t, obj.Handle, own, "cat", "/home/agent/.ssh/id"); code != 0 {
				t.Errorf("the agent cannot read its key: %d", code)
			}
			for _, secret := range []string{"/home/agent/.ssh/id", "/keys/all/one", "/etc/agent/one.conf"} {
				if code := asUser(t, obj.Handle, "4242:4242", "cat", secret); code == 0 {
					t.Errorf("somebody else reads %s", secret)
				}
			}
			if code := asUser(t, obj.Handle, "4242:4242", "touch", "/workspace/theirs"); code == 0 {
				t.Error("somebody else writes to the workspace")
			}
			if code := asUser(t, obj.Handle, own, "touch", "/ro/f"); code == 0 {
				t.Error("the agent writes to what is for reading only")
			}
			// Nobody else of this host looks into the folder.
			if info, err := os.Stat(b.folder(id, runOne)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("folder of the run: %v, %v", info, err)
			}
		})
	}
}

// TestRunFolder: the folder of a run is whole or made anew, and goes with the run.
func TestRunFolder(t *testing.T) {
	b := newRunBed(t, nil)
	mounts := func(text string) func(*plan.ContainerSpec) {
		return func(c *plan.ContainerSpec) {
			c.Mounts = []plan.Mount{{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{b.file("task.md", text, 0)}}}
		}
	}
	id := b.task(t, "cat /workspace/task.md", mounts("one"))
	folder := b.folder(id, runOne)
	prepare := b.ofRun(t, plan.OpPrepare, id, runOne)
	taskFile := func() string {
		found, err := filepath.Glob(filepath.Join(folder, "files", "*", "task.md"))
		must(t, err)
		if len(found) != 1 {
			t.Fatalf("files %v, want one", found)
		}
		return found[0]
	}
	mark := func() { must(t, os.WriteFile(taskFile(), []byte("marked"), 0o644)) }
	marked := func() bool {
		text, err := os.ReadFile(taskFile())
		must(t, err)
		return string(text) == "marked"
	}

	// What a process left that was killed while it made the files.
	must(t, os.MkdirAll(filepath.Join(folder, "files"), 0o755))
	must(t, os.MkdirAll(filepath.Join(filepath.Dir(folder), "."+runOne+".tmp-1", "files"), 0o755))
	b.do(t, prepare)
	if left := names(t, filepath.Dir(folder)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	mark()
	b.do(t, prepare)
	if !marked() {
		t.Error("a folder that is whole was made anew")
	}
	// Of another spec: of a run that never was.
	id = b.task(t, "cat /workspace/task.md", mounts("two"))
	b.do(t, b.ofRun(t, plan.OpPrepare, id, runOne))
	if marked() {
		t.Error("a folder of other files was taken")
	}
	// Made before the host was started, when it may not have been on disk.
	mark()
	madeText, err := os.ReadFile(filepath.Join(folder, "made"))
	must(t, err)
	otherBoot := []byte(strings.Replace(string(madeText), `"boot":"`, `"boot":"x`, 1))
	must(t, os.WriteFile(filepath.Join(folder, "made"), otherBoot, 0o600))
	obj := b.do(t, b.ofRun(t, plan.OpCreate, id, runOne))
	if marked() {
		t.Error("a folder of another boot was taken")
	}
	// As long as the container was not started, it is made again, then it is its own.
	must(t, os.RemoveAll(folder))
	restore := b.ofRun(t, plan.OpPrepare, id, runOne)
	restore.Object = obj.Handle
	b.do(t, restore)
	start := on(plan.OpStart, obj)
	start.Run = runOne
	b.do(t, start)
	b.exited(t, id)
	if got := b.logs(t, obj.Handle); got != "two" {
		t.Errorf("it said %q", got)
	}
	mark()
	must(t, os.WriteFile(filepath.Join(folder, "made"), otherBoot, 0o600))
	b.do(t, restore)
	if !marked() {
		t.Error("the work of a run was removed")
	}
	id = b.task(t, "cat /workspace/task.md", mounts("three"))
	b.refuse(t, b.ofRun(t, plan.OpPrepare, id, runOne), "the folder of the run belongs to the container")

	// Without the content, or with another one, nothing is made.
	other := b.task(t, "true", mounts("four"))
	for digest := range b.d.Contents {
		b.d.Contents[digest] = append(b.d.Contents[digest], '!')
	}
	again := b.ofRun(t, plan.OpPrepare, other, runOne+".2")
	b.refuse(t, again, "mount /workspace: /workspace/task.md", "its content is not what its digest")
	b.d.Contents = nil
	b.refuse(t, again, "is not known")
	if got := names(t, filepath.Dir(folder)); !slices.Equal(got, []string{runOne}) {
		t.Errorf("folders %v, want that of the run alone", got)
	}
}

// TestRunDelete: the folder of a run goes with it, and nothing else does.
func TestRunDelete(t *testing.T) {
	b := newRunBed(t, nil)
	id := b.task(t, "echo said", nil)
	dir := filepath.Dir(b.folder(id, runOne))
	b.finish(t, id, runOne)
	obj := b.object(t, id)
	del := func(key, handle string) plan.Step {
		return plan.Step{ID: "delete", Op: plan.OpDelete, Target: id, Object: handle, Run: key}
	}
	b.refuse(t, del(runOne, ""), "belongs to the container")
	second := b.ofRun(t, plan.OpPrepare, id, runOne+".2")
	b.do(t, second)
	b.do(t, del(runOne, obj.Handle))
	if got := names(t, dir); !slices.Equal(got, []string{runOne + ".2"}) {
		t.Errorf("folders %v, want that of the other run", got)
	}
	b.do(t, del(runOne, obj.Handle))
	b.do(t, del(runOne, ""))

	// A link leads nowhere, whatever has its name.
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "f"), nil, 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "abc")))
	b.refuse(t, del("abc", ""), "is not a folder")
	b.refuse(t, del("..", ""), "no key of a run")
	must(t, os.Remove(filepath.Join(dir, "abc")))
	must(t, os.Rename(dir, dir+"-moved"))
	must(t, os.Symlink(dir+"-moved", dir))
	b.refuse(t, del(runOne+".2", ""), "is not a folder")
	must(t, os.Remove(dir))
	must(t, os.Rename(dir+"-moved", dir))
	if got := names(t, outside); len(got) != 1 {
		t.Error("what a link led to is gone")
	}
	// A task that nobody wants any more.
	b.d.Resources = nil
	b.do(t, del(runOne+".2", ""))
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder of the task is still there")
	}
	// A label is no licence to remove a folder of somebody else.
	b.task(t, "true", func(c *plan.ContainerSpec) { c.Task.Dir = outside })
	b.refuse(t, b.ofRun(t, plan.OpPrepare, id, runOne), "is not below the state directory")
}

// TestRunSweep: what was made for a container that never came is removed by the
// next process, and what a run left is not.
func TestRunSweep(t *testing.T) {
	b := newRunBed(t, nil)
	id := b.task(t, "true", nil)
	dir := filepath.Dir(b.folder(id, runOne))
	b.finish(t, id, runOne)
	ran := b.object(t, id)
	b.do(t, b.ofRun(t, plan.OpPrepare, id, "a.2"))
	b.do(t, b.ofRun(t, plan.OpPrepare, id, "a.3"))
	b.do(t, b.ofRun(t, plan.OpCreate, id, "a.3"))
	taken := b.ofRun(t, plan.OpCreate, id, "a.3")
	taken.Run = "a.5"
	b.refuse(t, taken, "the name belongs to another container")
	must(t, os.MkdirAll(filepath.Join(dir, ".a.4.tmp-17", "files"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "abc"), 0o700)) // nobody knows what that is
	_, err := containers.Remove(podmantest.Conn(t), ran.Handle, nil)
	must(t, err)

	next := open(t, func(o *podman.Options) { o.StateDir = b.state })
	nothing := plan.Step{ID: "delete", Op: plan.OpDelete, Target: id, Run: "b"}
	_, err = next.Do(t.Context(), nothing, b.d)
	must(t, err)
	if got, want := names(t, dir), []string{runOne, "a.3", "abc"}; !slices.Equal(got, want) {
		t.Errorf("folders %v, want %v", got, want)
	}
	fresh := open(t, func(o *podman.Options) { o.StateDir = filepath.Join(b.state, "none") })
	_, err = fresh.Do(t.Context(), nothing, b.d)
	must(t, err)
}

// TestRunSaysItHasEnded: what a command writes in the place of its outcome counts for
// nothing while it goes on.
func TestRunSaysItHasEnded(t *testing.T) {
	b := newRunBed(t, nil)
	id := b.task(t, `echo '{"code":0}' >/run/reconcile-task/outcome.json; echo ready; while ! test -e /go; do sleep 0.05; done; exit 7`, nil)
	obj := b.begin(t, id, runOne)
	b.running(t, obj)
	if got := b.object(t, id); got.State != plan.StateRunning || got.Outcome != nil {
		t.Errorf("state %s, outcome %+v; want running, none", got.State, got.Outcome)
	}
	sh(t, obj.Handle, "touch /go")
	if got := b.exited(t, id); got.Outcome == nil || got.Outcome.Code != 7 {
		t.Errorf("outcome %+v, want code 7", got.Outcome)
	}
}

// TestRunImageVolumes: the volumes of an image hide no file of a run, and none is
// left of it.
func TestRunImageVolumes(t *testing.T) {
	b := newRunBed(t, nil)
	id := b.task(t, "cat /workspace/sub/a /home/agent/.ssh/b", func(c *plan.ContainerSpec) {
		c.Image = taskImage(t, `VOLUME ["/workspace/sub", "/home/agent"]`)
		c.Mounts = []plan.Mount{
			{Type: plan.MountFiles, Target: "/home/agent/.ssh/b", ReadOnly: true, Files: []plan.File{b.file("", "b\n", 0)}},
			{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{b.file("sub/a", "a\n", 0)}},
		}
	})
	if got := b.finish(t, id, runOne); got != "a\nb\n" {
		t.Errorf("it said %q", got)
	}
	held, err := containers.Inspect(podmantest.Conn(t), b.object(t, id).Handle, nil)
	must(t, err)
	if slices.ContainsFunc(held.Mounts, func(m define.InspectMount) bool { return m.Type == "volume" }) {
		t.Errorf("it has a volume: %+v", held.Mounts)
	}
}

// TestRunReadOnlyRoot: a container whose own files cannot be written has its
// secrets as well.
func TestRunReadOnlyRoot(t *testing.T) {
	b := newRunBed(t, nil)
	key := b.secret(t, "ssh", "id", "key\n")
	id := b.task(t, "cat /home/agent/.ssh/id", func(c *plan.ContainerSpec) {
		c.ReadOnlyRoot, c.User, c.CapDrop = true, "5:6", []string{"ALL"}
		c.SecretFiles = []plan.SecretFile{{Ref: key, Target: "/home/agent/.ssh/id", Mode: 0o400}}
	})
	if got := b.finish(t, id, runOne); got != "key\n" {
		t.Errorf("it said %q", got)
	}
}
