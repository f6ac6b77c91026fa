// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/podman"
	"reconcile/reconcile/plan"
)

// A DaemonAgent has the URL of the metadata service, in the environment of its
// container alone, and is told there why it has no event.
func TestDaemonAgentAsks(t *testing.T) {
	for _, relay := range []bool{false, true} {
		t.Run(map[bool]string{false: "gateway", true: "relay"}[relay], func(t *testing.T) {
			var chosen uint16
			runDir := channelDir(t)
			b := newBed(t, func(o *podman.Options) {
				withHelper(t, new(hookLogs))(o)
				o.RunDir, o.Relay, o.DaemonEnv = runDir, relay, dispatch.DaemonEnv
				o.MetadataPort = func(choose func() uint16) (uint16, error) {
					if chosen == 0 {
						chosen = choose()
					}
					return chosen, nil
				}
			})
			b.create(t, b.wantNetwork())
			d := dispatch.NewDispatcher(dispatch.DispatcherOptions{
				Runtime: b.rt.Executions(podman.ExecutionOptions{Workspace: b.d.Workspace, Root: b.d.Root}),
				Journal: dispatch.OpenFolder(t.TempDir()), DrainTimeout: time.Millisecond, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			running.Go(func() { _ = d.Run(ctx) })
			d.Set(nil)
			d.Hear([]string{b.d.Workspace})

			spec := plan.ContainerSpec{
				Image: toolImage(t), Network: b.d.Workspace, NoImageEnv: true,
				Main: tool("seq", "env", dispatch.MetadataEnv, dispatch.MetadataEnvV6, "--", "true"),
			}
			id := plan.ID{Kind: plan.DaemonAgent, Name: "bot"}
			want := func(edit func(*plan.ContainerSpec)) {
				c := spec
				edit(&c)
				c.StopTimeout = 2
				b.add(plan.Resource{ID: id, Name: b.d.Workspace + "-bot", Origin: "x:1:1", Spec: plan.Spec{Container: &c}, Want: plan.WantRunning})
			}
			want(func(*plan.ContainerSpec) {})
			said := b.run(t, id)
			url, ok := strings.CutPrefix(strings.TrimSpace(said), dispatch.MetadataEnv+"=")
			if !ok || strings.Contains(said, dispatch.MetadataEnvV6) || !strings.HasSuffix(url, dispatch.DaemonPath) || chosen == 0 {
				t.Fatalf("it has %q, at port %d", said, chosen)
			}
			obj := b.object(t, id)
			if obj.Digest != b.resource(id).Spec.Digest() || len(obj.Drift) > 0 {
				t.Errorf("its digest is %s, its drift %v", obj.Digest, obj.Drift)
			}
			if in := slices.Sorted(maps.Keys(obj.Inputs)); strings.Contains(strings.Join(in, " "), "port") {
				t.Errorf("its inputs are %q", in)
			}
			b.do(t, on(plan.OpDelete, obj))

			want(func(c *plan.ContainerSpec) { c.Main = tool("get", url+"/event") })
			await(t, func() bool {
				defer func() { b.do(t, on(plan.OpDelete, b.object(t, id))) }()
				said = ""
				obj := b.start(t, id)
				wait := on(plan.OpWait, obj)
				wait.Until = plan.UntilFinished
				if _, err := b.try(t, wait); err != nil {
					return false // nobody listens yet
				}
				said = b.logs(t, obj.Handle)
				return true
			})
			if want := "404\nthis is a DaemonAgent: it is started once, and has neither an event nor a reply\n"; said != want {
				t.Errorf("it is told %q, want %q", said, want)
			}

			// Its own wins, and no other kind has it.
			want(func(c *plan.ContainerSpec) { c.Env = []plan.EnvVar{{Name: dispatch.MetadataEnv, Value: "mine"}} })
			if said := b.run(t, id); said != dispatch.MetadataEnv+"=mine\n" {
				t.Errorf("with one of its own it has %q", said)
			}
			b.do(t, on(plan.OpDelete, b.object(t, id)))
			b.d.Resources = slices.DeleteFunc(b.d.Resources, func(r plan.Resource) bool { return r.ID == id })
			if said := b.run(t, b.want("other", spec)); said != "" {
				t.Errorf("another kind has %q", said)
			}
		})
	}
}

// await waits until something is so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case <-t.Context().Done():
			t.Fatal("it never came")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
