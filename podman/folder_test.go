// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/tree"
)

// owner is "uid:gid" of a path.
func owner(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

func TestFolderOwner(t *testing.T) {
	accounts := map[string]string{
		"/etc/passwd": "root:x:0:0::/:/bin/sh\nnode:x:1000:1001::/home/node:/bin/sh\n",
		"/etc/group":  "root:x:0:\nnode:x:1001:\nstaff:x:50:\n",
	}
	for user, want := range map[string]string{"": "0:0", "root": "0:0", "node": "1000:1001", "node:staff": "1000:50", "1000": "1000:1001", "7:8": "7:8", "9": "9:0"} {
		t.Run("USER "+user, func(t *testing.T) {
			opt := podmantest.ImageOptions{Files: accounts}
			if user != "" {
				opt.Changes = []string{"USER " + user}
			}
			image := podmantest.Image(t, "user", opt)
			b := newBed(t, nil)
			dir := t.TempDir()
			must(t, os.Chmod(dir, 0o755))
			work, old := filepath.Join(dir, "deep", "work"), filepath.Join(dir, "old")
			must(t, os.Mkdir(old, 0o755))
			must(t, os.Chown(old, 4242, 4243))
			id := b.want("a", plan.ContainerSpec{
				Image: image, Main: tool("seq", "stat", "/work", "--", "write", "/work/f", "x", "--", "id"), User: "",
				Mounts: []plan.Mount{
					{Type: plan.MountDir, Source: old, Target: "/old", ReadOnly: true},
					{Type: plan.MountDir, Source: work, Target: "/work"},
				},
			})
			out := b.run(t, id)
			ids := strings.Replace(want, ":", " ", 1)
			if !strings.HasPrefix(out, ids+" ") || !strings.HasSuffix(out, ids+"\n") {
				t.Errorf("in the container: %q, want %s", out, ids)
			}
			if got := owner(t, work); got != want {
				t.Errorf("new folder: %s, want %s", got, want)
			}
			if got := owner(t, old); got != "4242:4243" {
				t.Errorf("existing folder: %s, want it unchanged", got)
			}
		})
	}
}

// TestSpecUser: the spec's user wins over the image's.
func TestSpecUser(t *testing.T) {
	b := newBed(t, nil)
	work := filepath.Join(t.TempDir(), "work")
	out := b.run(t, b.want("a", plan.ContainerSpec{
		Image: toolImage(t), Main: tool("id"), User: "31:32",
		Mounts: []plan.Mount{{Type: plan.MountDir, Source: work, Target: "/work"}},
	}))
	if out != "31 32\n" || owner(t, work) != "31:32" {
		t.Errorf("runs as %q, folder of %s", out, owner(t, work))
	}
}

func TestCopy(t *testing.T) {
	state := t.TempDir()
	b := newBed(t, func(o *podman.Options) { o.StateDir = state })
	from, place := filepath.Join(t.TempDir(), "agent"), filepath.Join(state, "code", "a")
	must(t, os.Mkdir(from, 0o755))
	must(t, os.WriteFile(filepath.Join(from, "main"), []byte("v1"), 0o644))
	hash, err := tree.Hash(os.DirFS(from))
	must(t, err)
	to := filepath.Join(place, hash[:12])
	spec := plan.ContainerSpec{
		Image: toolImage(t), User: "5:6", WorkDir: "/code",
		Mounts: []plan.Mount{{Type: plan.MountCopy, Source: place, Target: "/code", From: from, TreeHash: hash}},
		Main:   tool("seq", "pwd", "--", "cat", "main", "--", "write", "installed", "x"),
	}
	id := b.want("a", spec)

	must(t, os.WriteFile(filepath.Join(from, "main"), []byte("v2"), 0o644))
	b.refuse(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}, "mount /code", "its files are not those that were planned, they changed since")
	if left := names(t, place); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	must(t, os.WriteFile(filepath.Join(from, "main"), []byte("v1"), 0o644))
	must(t, os.Mkdir(filepath.Join(place, "."+hash[:12]+".tmp-1"), 0o755)) // of a pass that was killed
	if got := b.run(t, id); got != "/code\nv1" {
		t.Errorf("output %q", got)
	}
	if got := owner(t, filepath.Join(to, "main")); got != "5:6" {
		t.Errorf("owner of the copy %s, want 5:6", got)
	}
	if _, err := os.Stat(filepath.Join(from, "installed")); err == nil {
		t.Error("the source was written to")
	}
	if left := names(t, place); len(left) != 1 {
		t.Errorf("beside the copy: %v", left)
	}

	// What the agent did to its copy stays, and a lost copy comes back.
	first := b.object(t, id)
	restore := plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id, Object: first.Handle}
	b.do(t, restore)
	if _, err := os.Stat(filepath.Join(to, "installed")); err != nil {
		t.Errorf("the agent's work is gone: %v", err)
	}
	must(t, os.RemoveAll(to))
	b.do(t, restore)
	if got := owner(t, filepath.Join(to, "main")); got != "5:6" {
		t.Errorf("owner of the restored copy %s, want 5:6", got)
	}

	// The next tree has a folder of its own, and the first goes with its last user.
	must(t, os.WriteFile(filepath.Join(from, "main"), []byte("v2"), 0o644))
	second, err := tree.Hash(os.DirFS(from))
	must(t, err)
	spec.Mounts = []plan.Mount{{Type: plan.MountCopy, Source: place, Target: "/code", From: from, TreeHash: second}}
	b.want("a", spec)
	step := b.prepared(t, id)
	step.Name += "-next"
	next := b.do(t, step)
	// Of a pass that was killed, of trees that nobody asks for any more.
	must(t, os.Mkdir(filepath.Join(place, "0123456789ab"), 0o755))
	must(t, os.Mkdir(filepath.Join(place, ".0123456789ab.tmp-1"), 0o755))
	b.do(t, on(plan.OpDelete, first))
	if left := names(t, place); len(left) != 1 || left[0] != second[:12] {
		t.Errorf("copies %v, want %s", left, second)
	}
	step.Name += "-again"
	again := b.do(t, step)
	b.do(t, on(plan.OpDelete, next))
	if left := names(t, place); len(left) != 1 {
		t.Errorf("copies %v, want the one that is used", left)
	}
	b.do(t, on(plan.OpDelete, again))
	if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the copies is still there (%v)", err)
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestHelper: the helper folder is written and PID 1 of the container is from it.
func TestHelper(t *testing.T) {
	files := map[string][]byte{"agent-server": podmantest.Tool(t), "default_cli.sh": []byte("#!/bin/sh\n"), "note": []byte("x")}
	state := t.TempDir()
	must(t, os.Chmod(state, 0o755))
	b := newBed(t, func(o *podman.Options) {
		o.StateDir = state
		o.Helper = func() (map[string][]byte, error) { return files, nil }
	})
	mounts := []plan.Mount{{Type: plan.MountHelper, Target: "/Agent"}}
	entry := podmantest.Image(t, "entry", podmantest.ImageOptions{Changes: []string{`ENTRYPOINT ["/e"]`, `CMD ["c"]`}})
	for _, tt := range []struct {
		name string
		spec plan.ContainerSpec
		want string
	}{
		{"default supervisor", plan.ContainerSpec{Image: entry}, "init --"},
		{"args", plan.ContainerSpec{Image: entry, Main: plan.Process{Args: []string{"a"}}}, "init -- /e a"},
		{"image's", plan.ContainerSpec{Image: entry, Main: plan.Process{ImageCmd: true}}, "init -- /e c"},
		{"beside", plan.ContainerSpec{Image: entry, Main: plan.Process{Command: []string{"/m"}}, Beside: &plan.Process{Args: []string{"b"}}}, "init --beside 2 /e b -- /m"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spec.Helper, tt.spec.Mounts = true, mounts
			obj := b.start(t, b.want("a", tt.spec))
			finished := on(plan.OpWait, obj)
			finished.Until = plan.UntilFinished
			// The test tool stands in for the helper and refuses its arguments.
			b.refuse(t, finished, `unknown deed "init"`)
			if got := args(t, obj.Handle); got != "/Agent/agent-server "+tt.want {
				t.Errorf("command %q, want %q", got, tt.want)
			}
			b.do(t, on(plan.OpDelete, obj))
		})
	}
	for name, mode := range map[string]os.FileMode{"agent-server": 0o755, "default_cli.sh": 0o755, "note": 0o644} {
		info, err := os.Stat(filepath.Join(state, "helper", name))
		must(t, err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), mode)
		}
	}

	bare := newBed(t, nil)
	id := bare.want("b", plan.ContainerSpec{Image: toolImage(t), Helper: true, Mounts: mounts})
	bare.refuse(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: id}, "this build carries no helper")
}

func TestVolume(t *testing.T) {
	b := newBed(t, nil)
	id := plan.ID{Kind: plan.Volume, Name: "v"}
	name := b.d.Workspace + "-v"
	b.add(plan.Resource{ID: id, Name: name, Spec: plan.Spec{Volume: &plan.VolumeSpec{}}, Keep: true})
	vol := b.create(t, id)
	mounts := []plan.Mount{{Type: plan.MountVolume, Source: name, Target: "/data"}}
	b.run(t, b.want("w", plan.ContainerSpec{Image: toolImage(t), Main: tool("write", "/data/f", "kept"), Mounts: mounts}))
	b.do(t, on(plan.OpDelete, b.object(t, plan.ID{Kind: plan.Manifest, Name: "w"})))
	if got := b.run(t, b.want("r", plan.ContainerSpec{Image: toolImage(t), Main: tool("cat", "/data/f"), Mounts: mounts})); got != "kept" {
		t.Errorf("content %q", got)
	}
	b.refuse(t, on(plan.OpDelete, vol), "delete volume "+name)
}
