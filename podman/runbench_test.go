// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/helper"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// benchTask is a Task with three contexts and one credential.
func benchTask(b *testing.B, state, secrets, user string) plan.Desired {
	b.Helper()
	d := plan.Desired{Workspace: "bench", Root: "/bench", Contents: map[string][]byte{}}
	file := func(path, content string) plan.File {
		sum := sha256.Sum256([]byte(content))
		digest := "sha256:" + hex.EncodeToString(sum[:])
		d.Contents[digest] = []byte(content)
		return plan.File{Path: path, Digest: digest}
	}
	if err := os.Mkdir(filepath.Join(secrets, "creds"), 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secrets, "creds", "token"), []byte("t0ken"), 0o600); err != nil {
		b.Fatal(err)
	}
	id := plan.ID{Kind: plan.Task, Name: "a"}
	c := plan.ContainerSpec{
		Image: podmantest.Image(b, "benchtask", podmantest.ImageOptions{Files: map[string]string{helper.Server: string(benchHelper(b))}}),
		User:  user, Helper: true, Main: plan.Process{Command: []string{"/bin/tool", "pause"}}, StopTimeout: 1,
		Task: &plan.TaskSpec{Dir: plan.RunsDir(state, d.Workspace, id)},
		Env:  []plan.EnvVar{{Name: "WORKSPACE_DIR", Value: "/workspace"}},
		Mounts: []plan.Mount{
			{Type: plan.MountFiles, Target: "/etc/rules.md", ReadOnly: true, Files: []plan.File{file("", "rules")}},
			{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{file("ctx/a.md", "context a"), file("ctx/b.md", "context b"), file("task.md", "do it")}},
		},
		SecretFiles: []plan.SecretFile{{Ref: "key:creds/token", Target: "/workspace/.creds/token", Mode: 0o400}},
	}
	d.Resources = []plan.Resource{{ID: id, Name: "bench-task-a", Want: plan.WantOnce, Run: &plan.Run{Key: "0"}, Spec: plan.Spec{Container: &c}}}
	return d
}

// BenchmarkRun compares prepare, create and start of a run of a Task with three
// contexts and one credential with bare create and start calls of a container with
// the same mounts and secrets, which are made before. The goal is 1.2 × that.
func BenchmarkRun(b *testing.B) {
	for name, user := range map[string]string{"root": "", "user": "1000:1000"} {
		b.Run(name, func(b *testing.B) { benchRun(b, user) })
	}
}

func benchRun(b *testing.B, user string) {
	const n = 8
	state, secrets := b.TempDir(), b.TempDir()
	d := benchTask(b, state, secrets, user)
	rt, err := Open(b.Context(), Options{
		URL: podmantest.Socket(b), StateDir: state, SecretsDir: secrets, HostKey: make([]byte, 32), Owner: "bench", Version: "bench",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { removeAll(b, rt); rt.Close() })
	ctx, res := rt.with(b.Context()), d.Resources[0]
	if _, err := rt.Observe(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	step := func(op plan.Op, key int) plan.Step {
		return plan.Step{
			Op: op, Target: res.ID, Name: fmt.Sprintf("bench-task-a-%d", key), Digest: "d", Run: fmt.Sprint(key), RunName: "a",
			Bound: map[string]string{},
		}
	}
	next := 1
	img, err := rt.imageFor(ctx, step(plan.OpCreate, next), d, res)
	if err != nil {
		b.Fatal(err)
	}
	spec, err := rt.containerSpec(ctx, step(plan.OpCreate, next), d, res, img)
	if err != nil {
		b.Fatal(err)
	}
	bare := func() time.Duration {
		begun := time.Now()
		for i := range n {
			spec.Name = fmt.Sprintf("bench-bare-%d", i)
			made, err := containers.CreateWithSpec(ctx, spec, nil)
			if err == nil {
				err = containers.Start(ctx, made.ID, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		took := time.Since(begun)
		removeAll(b, rt)
		return took / n
	}
	full := func() time.Duration {
		begun := time.Now()
		for range n {
			next++
			for _, op := range []plan.Op{plan.OpPrepare, plan.OpCreate, plan.OpStart} {
				if _, err := rt.Do(b.Context(), step(op, next), d); err != nil {
					b.Fatal(err)
				}
			}
		}
		took := time.Since(begun)
		removeAll(b, rt)
		return took / n
	}
	inTurns(b, bare, full, 120)
}
