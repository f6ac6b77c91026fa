// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/secrets"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

const (
	fileValue   = "f-5a1c09e7"
	envValue    = "e-77b0d2f4"
	podmanValue = "p-c3319a60"
)

// secretBed has a secret of each sort: file, variable, Podman's.
func secretBed(t *testing.T) (b *bed, dir string, env map[string]string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "from-file"), []byte(fileValue+"\n"), 0o600))
	env = map[string]string{"FROM_ENV": envValue, "EMPTY": ""}
	b = newBed(t, func(o *podman.Options) {
		o.SecretsDir = dir
		o.LookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	})
	keep(t, b.d.Workspace+"-own", podmanValue)
	return b, dir, env
}

// keep makes a Podman secret that is not ours.
func keep(t *testing.T, name, value string) {
	t.Helper()
	conn := podmantest.Conn(t)
	made, err := secrets.Create(conn, strings.NewReader(value), new(secrets.CreateOptions).WithName(name))
	must(t, err)
	t.Cleanup(func() { _ = secrets.Remove(conn, made.ID) })
}

func secretEnv(b *bed) []plan.EnvVar {
	return []plan.EnvVar{
		{Name: "A_FILE", Secret: "secret:from-file"},
		{Name: "B_ENV", Secret: "env:FROM_ENV"},
		{Name: "C_PODMAN", Secret: "secret:" + b.d.Workspace + "-own"},
		{Name: "D_EMPTY", Secret: "env:EMPTY"},
	}
}

// TestSecretsReachTheProcessOnly: the values are in the process's environment
// and nowhere else. Podman before 5.3 prints that very environment when a
// container that was started is inspected.
func TestSecretsReachTheProcessOnly(t *testing.T) {
	b, _, _ := secretBed(t)
	id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("env", "A_FILE", "B_ENV", "C_PODMAN", "D_EMPTY"), Env: secretEnv(b)})
	want := "A_FILE=" + fileValue + "\nB_ENV=" + envValue + "\nC_PODMAN=" + podmanValue + "\nD_EMPTY=\n"
	if got := b.run(t, id); got != want {
		t.Errorf("environment %q, want %q", got, want)
	}

	obj := b.object(t, id)
	if len(obj.Inputs) != 5 {
		t.Errorf("inputs %v, want the image and four secrets", obj.Inputs)
	}
	conn := podmantest.Conn(t)
	inspected, err := containers.Inspect(conn, obj.Handle, nil)
	must(t, err)
	if podmantest.Version(t) < 5 {
		inspected.Config.Env = nil
	}
	listed, err := containers.List(conn, new(containers.ListOptions).WithAll(true))
	must(t, err)
	kept, err := secrets.List(conn, nil)
	must(t, err)
	for what, v := range map[string]any{"inspect": inspected, "list": listed, "secrets": kept, "observed": b.observe(t)} {
		text, err := json.Marshal(v)
		must(t, err)
		for _, value := range []string{fileValue, envValue, podmanValue} {
			if strings.Contains(string(text), value) {
				at := strings.Index(string(text), value)
				t.Errorf("%s shows the value %s: …%s", what, value, text[max(0, at-100):at])
			}
		}
	}
}

func TestSecretFacts(t *testing.T) {
	b, dir, env := secretBed(t)
	b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Env: append(secretEnv(b),
		plan.EnvVar{Name: "X", Secret: "secret:nowhere"}, plan.EnvVar{Name: "Y", Secret: "env:NOWHERE"},
		plan.EnvVar{Name: "Z", Secret: "secret:link"}, plan.EnvVar{Name: "W", Secret: "secret:../out"})})
	must(t, os.Symlink("/etc/hostname", filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "../out"), []byte("x"), 0o600))
	fact := func(ref string) plan.Fact { return b.fact(t, plan.InputSecret, ref) }

	before := map[string]plan.Fact{}
	for _, e := range secretEnv(b) {
		f := fact(e.Secret)
		if f.State != plan.FactKnown || f.Value == "" || f != fact(e.Secret) {
			t.Errorf("%s: %+v, want known and the same twice", e.Secret, f)
		}
		before[e.Secret] = f
	}
	for ref, word := range map[string]string{"secret:nowhere": "nowhere", "env:NOWHERE": "NOWHERE"} {
		if f := fact(ref); f.State != plan.FactMissing || !strings.Contains(f.Detail, word) {
			t.Errorf("%s: %+v, want missing and named", ref, f)
		}
	}
	for _, ref := range []string{"secret:link", "secret:../out"} {
		if f := fact(ref); f.State == plan.FactKnown {
			t.Errorf("%s: %+v, want no value from outside the folder", ref, f)
		}
	}

	// One newline at the end is no change, anything else is.
	must(t, os.WriteFile(filepath.Join(dir, "from-file"), []byte(fileValue), 0o600))
	if got := fact("secret:from-file"); got != before["secret:from-file"] {
		t.Error("the newline at the end of a file counts")
	}
	must(t, os.WriteFile(filepath.Join(dir, "from-file"), []byte(fileValue+"\n\n"), 0o600))
	env["FROM_ENV"] = "changed"
	for _, ref := range []string{"secret:from-file", "env:FROM_ENV"} {
		if f := fact(ref); f.State != plan.FactKnown || f == before[ref] {
			t.Errorf("%s after a change: %+v, want another fingerprint than %+v", ref, f, before[ref])
		}
	}

	keyless := newBed(t, func(o *podman.Options) { o.SecretsDir, o.HostKey = dir, nil })
	keyless.d.Resources = b.d.Resources
	if f := keyless.fact(t, plan.InputSecret, "secret:from-file"); f.State != plan.FactUnknown || f.Value != "" {
		t.Errorf("without a key: %+v, want unknown", f)
	}
}

// TestSecretChangedWhilePlanning: what is created is what was planned.
func TestSecretChangedWhilePlanning(t *testing.T) {
	for _, tt := range []struct {
		name, secret string
		change       func(t *testing.T, b *bed, dir string, env map[string]string)
	}{
		{"file", "secret:from-file", func(t *testing.T, _ *bed, dir string, _ map[string]string) {
			must(t, os.WriteFile(filepath.Join(dir, "from-file"), []byte("new"), 0o600))
		}},
		{"variable", "env:FROM_ENV", func(_ *testing.T, _ *bed, _ string, env map[string]string) { env["FROM_ENV"] = "new" }},
		{"podman", "", func(t *testing.T, b *bed, _ string, _ map[string]string) {
			must(t, secrets.Remove(podmantest.Conn(t), b.d.Workspace+"-own"))
			keep(t, b.d.Workspace+"-own", "new")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, dir, env := secretBed(t)
			ref := tt.secret
			if ref == "" {
				ref = "secret:" + b.d.Workspace + "-own"
			}
			id := b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Env: []plan.EnvVar{{Name: "X", Secret: ref}}})
			step := b.prepared(t, id)
			tt.change(t, b, dir, env)
			_, name, _ := strings.Cut(ref, ":")
			b.refuse(t, step, "secret "+name+" changed while planning")
			if n := len(b.observe(t).Objects); n != 0 {
				t.Errorf("%d objects, want none", n)
			}
			b.create(t, id)
		})
	}
}

// TestDerivedSecretsGoWithTheirUsers: a secret made of a file lives as long as
// a container that uses it.
func TestDerivedSecretsGoWithTheirUsers(t *testing.T) {
	b, _, _ := secretBed(t)
	env := []plan.EnvVar{{Name: "X", Secret: "secret:from-file"}}
	first := b.create(t, b.want("a", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Env: env}))
	second := b.create(t, b.want("b", plan.ContainerSpec{Image: toolImage(t), Main: tool("pause"), Env: env}))
	derived := func() (n int) {
		list, err := secrets.List(podmantest.Conn(t), nil)
		must(t, err)
		for _, s := range list {
			if strings.HasPrefix(s.Spec.Name, "reconcile-"+b.d.Workspace[:min(32, len(b.d.Workspace))]+"-") {
				n++
			}
		}
		return n
	}
	if n := derived(); n != 1 {
		t.Errorf("%d secrets for one value, want 1", n)
	}
	b.do(t, on(plan.OpDelete, first))
	if n := derived(); n != 1 {
		t.Errorf("%d secrets while one container uses it, want 1", n)
	}
	b.do(t, on(plan.OpStart, second))
	b.do(t, on(plan.OpDelete, second))
	if n := derived(); n != 0 {
		t.Errorf("%d secrets without a user, want none", n)
	}
}

func TestSecretObject(t *testing.T) {
	b, _, env := secretBed(t)
	id := plan.ID{Kind: plan.Secret, Name: "s"}
	b.add(plan.Resource{ID: id, Name: b.d.Workspace + "-s", Spec: plan.Spec{Secret: &plan.SecretSpec{Ref: "env:FROM_ENV"}}})
	step := b.step(t, id)
	obj := b.do(t, step)
	if again := b.do(t, step); again.Handle != obj.Handle {
		t.Errorf("second create: %s, want %s", again.Handle, obj.Handle)
	}
	if got := b.object(t, id); got.State != plan.StateExists || got.Inputs["secret:env:FROM_ENV"] == "" {
		t.Errorf("object %+v, want it to exist with its fingerprint", got)
	}
	b.do(t, on(plan.OpDelete, obj))
	b.do(t, on(plan.OpDelete, obj))
	env["FROM_ENV"] = "new"
	b.refuse(t, step, "secret FROM_ENV changed while planning")
	if n := len(b.observe(t).Objects); n != 0 {
		t.Errorf("%d objects, want none", n)
	}
}
