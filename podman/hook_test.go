// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// plain wants an instance called name without an install hook.
func (b *hookBed) plain(t testing.TB, name, image string, edit func(*plan.ContainerSpec)) plan.ID {
	t.Helper()
	id, derived := b.agent(t, name, image, func(c *plan.ContainerSpec) {
		c.Installed = false
		if edit != nil {
			edit(c)
		}
	})
	b.drop(derived)
	res := b.resource(id)
	res.Needs = nil
	b.add(res)
	return id
}

// execStep is the step that runs a hook in obj.
func execStep(obj plan.Object, commands ...string) plan.Step {
	s := on(plan.OpExec, obj)
	s.Hook = &plan.Hook{Name: plan.HookPostinstall, Commands: commands, Timeout: time.Minute}
	return s
}

// TestExec: a hook runs as the container's user, with its variables, in the
// agent's folder; its end is that of the step.
func TestExec(t *testing.T) {
	t.Setenv("RECONCILE_TEST_TOKEN", "tok-77aa21")
	b := newHookBed(t, func(o *podman.Options) { o.LookupEnv = os.LookupEnv })
	id := b.plain(t, "a", shell(t, "USER 1000:1001", "WORKDIR /tmp"), func(c *plan.ContainerSpec) {
		c.Env = append(c.Env, plan.EnvVar{Name: "TOKEN", Secret: "env:RECONCILE_TEST_TOKEN"})
	})
	obj := b.start(t, id)
	got := b.do(t, execStep(obj, `echo "$(id -u):$(id -g) $(pwd) $AGENT_NAME $TOKEN"`, "printf '\\033[1mbold\\n' >&2; echo x > made"))
	if got.Handle != obj.Handle || got.Started.IsZero() {
		t.Errorf("step returned %+v", got)
	}
	if diff := cmp.Diff([]string{"1000:1001 /code a [redacted]\n\\x1b[1mbold\n"}, b.logs.of("manifest/a postinstall")); diff != "" {
		t.Errorf("log (-want +got)\n%s", diff)
	}

	b.refuse(t, execStep(obj, "echo $TOKEN", "echo bad >&2; exit 3", "echo never"), "postinstall failed: exit code 3; it said last:\n  [redacted]\n  bad\n")
	b.refuse(t, execStep(obj, "kill -9 $$"), "postinstall failed: exit 137: killed, possibly out of memory")
	if state := b.object(t, id).State; state != plan.StateRunning {
		t.Errorf("the container is %s", state)
	}
	b.do(t, on(plan.OpStop, obj))
	b.refuse(t, execStep(obj, "true"), "postinstall: the container is ")
	b.do(t, on(plan.OpDelete, obj))
	b.refuse(t, execStep(obj, "true"), "postinstall: the container is gone")

	b.drop(id)
	empty := b.plain(t, "b", podmantest.Image(t, "exec-no-shell", podmantest.ImageOptions{}), nil)
	b.refuse(t, execStep(b.start(t, empty), "true"), "postinstall failed", "no shell")
}

// TestExecEnds: nothing that a hook started outlives its step, however it ends.
func TestExecEnds(t *testing.T) {
	b := newHookBed(t, nil)
	id := b.plain(t, "a", shell(t), func(c *plan.ContainerSpec) { c.Main = tool("pause"); c.Helper = true })
	obj := b.start(t, id)
	work := b.resource(id).Spec.Container.Mounts[2].Source
	// Who still runs writes to the work folder again and again.
	loop := "(while :; do date +%s%N > /workspace/alive; sleep 0.05; done) & "
	quiet := func(when string) {
		t.Helper()
		before, err := os.ReadFile(filepath.Join(work, "alive"))
		must(t, err)
		for range 20 {
			time.Sleep(20 * time.Millisecond)
			after, err := os.ReadFile(filepath.Join(work, "alive"))
			must(t, err)
			if string(after) != string(before) {
				t.Fatalf("%s: something goes on", when)
			}
		}
	}
	for _, tt := range []struct {
		name, text, want string
		timeout          time.Duration // of the hook
		cut              time.Duration // of the step
	}{
		{"a daemon", loop + "sleep 0.3", "", time.Minute, time.Minute},
		{"the hook's own time", loop + "echo begun; sleep 1000", "postinstall failed: exit code 124; it said last:\n  begun", 2 * time.Second, time.Minute},
		{"the step's time", loop + "echo begun; sleep 1000", "postinstall was ended before it was done; it said last:\n  begun", time.Minute, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := execStep(obj, tt.text)
			s.Hook.Timeout = tt.timeout
			ctx, cancel := context.WithTimeoutCause(t.Context(), tt.cut, errTooSlow)
			defer cancel()
			_, err := b.rt.Do(ctx, s, b.d)
			switch {
			case tt.want == "":
				must(t, err)
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %v, want %q", err, tt.want)
			}
			quiet(tt.name)
		})
	}
}
