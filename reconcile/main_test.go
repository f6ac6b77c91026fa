// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/reconcile/reconciletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testWorkspace = "acme"
	testImage     = "localhost/agent:1"
)

var testNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// memory is a Keeper that survives nothing, which is enough for tests whose
// subject is not the disk.
type memory struct {
	mu        sync.Mutex
	owner     string
	accepted  []string
	records   map[string]plan.Record
	specs     map[string]json.RawMessage
	contents  map[string]string
	converged []plan.ID
	putErr    error
	loadErr   error
	specReads int
	history   []reconcile.PassRecord
}

func newMemory() *memory {
	return &memory{owner: "owner-1", records: map[string]plan.Record{}, specs: map[string]json.RawMessage{}, contents: map[string]string{}}
}

func (m *memory) Load() (plan.Records, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := plan.Records{Owner: m.owner, Accepted: slices.Clone(m.accepted)}
	for _, r := range m.records {
		out.Records = append(out.Records, r)
	}
	slices.SortFunc(out.Records, func(a, b plan.Record) int { return a.ID.Compare(b.ID) })
	return out, m.loadErr
}

func (m *memory) Put(ctx context.Context, r plan.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.putErr != nil {
		return m.putErr
	}
	key := fmt.Sprint(r.ID, r.Kind, r.Key)
	if m.records[key] = r; r.Forget {
		delete(m.records, key)
	}
	return ctx.Err()
}

func (m *memory) Accept(_ string, ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepted = append(m.accepted, ids...)
	return nil
}

func (m *memory) Specs(digests []string) map[string]json.RawMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.specReads++
	out := map[string]json.RawMessage{}
	for _, d := range digests {
		if s, ok := m.specs[d]; ok {
			out[d] = s
		}
	}
	return out
}

func (m *memory) PutSpec(digest string, spec json.RawMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.specs[digest] = spec
	return nil
}

func (m *memory) PutContent(digest string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.contents[digest] = string(b)
	return nil
}

func (m *memory) KeepSpecs(digests []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.specs {
		if !slices.Contains(digests, d) {
			delete(m.specs, d)
		}
	}
	return nil
}

func (m *memory) Converged() []plan.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.converged
}

func (m *memory) PutConverged(ids []plan.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.converged = ids
	return nil
}

func (m *memory) AppendHistory(r reconcile.PassRecord) (reconcile.PassRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.Number = len(m.history) + 1
	m.history = append(m.history, r)
	return r, nil
}

func (m *memory) History(limit int) ([]reconcile.PassRecord, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.history)
	slices.Reverse(out)
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, nil
}

func newRuntime() *reconciletest.Runtime {
	rt := reconciletest.New(reconciletest.Options{Owner: "owner-1", Version: "test"})
	rt.AddImage(testImage, "sha256:a1")
	return rt
}

func agent(name string) plan.ID { return plan.ID{Kind: plan.Manifest, Name: name} }

// instance is a running agent on the workspace's network.
func instance(name string, needs ...plan.ID) plan.Resource {
	r := plan.Resource{
		ID: agent(name), Name: testWorkspace + "-" + name, Origin: name + "/manifest.yaml:1:1", Want: plan.WantRunning,
		Spec: plan.Spec{Container: &plan.ContainerSpec{
			Image: testImage, Main: plan.Process{ImageCmd: true}, Network: testWorkspace,
		}},
		Needs: []plan.Need{{On: network().ID, Until: plan.UntilExists}},
	}
	for _, n := range needs {
		r.Needs = append(r.Needs, plan.Need{On: n, Until: plan.UntilReady})
	}
	return r
}

func network() plan.Resource {
	return plan.Resource{
		ID: plan.ID{Kind: plan.Network, Name: testWorkspace}, Name: testWorkspace, Origin: "workspace.yaml:1:1",
		Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", DNS: true}},
	}
}

// desired wants the resources and the network.
func desired(rs ...plan.Resource) plan.Desired {
	d := plan.Desired{Workspace: testWorkspace, Root: "/srv/acme", Revision: "abc", Source: "workspace.yaml:1:1"}
	d.Resources = append(slices.Clone(rs), network())
	slices.SortFunc(d.Resources, func(a, b plan.Resource) int { return a.ID.Compare(b.ID) })
	return d
}

// hook is a lifecycle hook of an instance; another version is another hook.
func hook(name plan.HookName, version string) plan.Hook {
	return plan.Hook{
		Name: name, Commands: []string{"true", version}, Digest: "sha256:" + version,
		Origin: "manifest.yaml:7:1", Dir: "/srv/acme/a", Timeout: time.Minute,
	}
}

func image(name string) plan.ID { return plan.ID{Kind: plan.Image, Name: name} }

// install gives r an install hook, and returns the image that it makes.
func install(r *plan.Resource, version string) plan.Resource {
	r.Spec.Container.Installed = true
	r.Needs = append(r.Needs, plan.Need{On: image(r.ID.Name), Until: plan.UntilExists, Bound: true})
	return plan.Resource{
		ID: image(r.ID.Name), Name: "localhost/reconcile-acme/" + r.ID.Name, Origin: r.Origin, Replace: plan.Overlap,
		Spec:  plan.Spec{Image: &plan.ImageSpec{Base: testImage, Commands: []string{"true", version}, Of: r.ID.String()}},
		Needs: []plan.Need{{On: network().ID, Until: plan.UntilExists}},
	}
}
