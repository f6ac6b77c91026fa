// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/secrets"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// unseal opens values that are base64, as if that were a secret.
func unseal(_ context.Context, s plan.Sealed) ([]byte, error) {
	if s.Format == plan.SealedSOPS {
		return nil, errors.New("the MAC does not match")
	}
	return base64.StdEncoding.DecodeString(string(s.Data))
}

func seal(value string) plan.Sealed {
	return plan.Sealed{Format: plan.SealedAge, Data: []byte(base64.StdEncoding.EncodeToString([]byte(value)))}
}

// wantSecrets has a task refer to secrets.
func (b *runBed) wantSecrets(t testing.TB, refs ...string) plan.ID {
	return b.task(t, "true", func(c *plan.ContainerSpec) {
		for i, ref := range refs {
			c.SecretFiles = append(c.SecretFiles, plan.SecretFile{Ref: ref, Target: "/s/" + string(rune('a'+i)), Mode: 0o400})
		}
	})
}

func TestSecretReferences(t *testing.T) {
	b := newRunBed(t, func(o *podman.Options) { o.Unseal = unseal })
	w := b.d.Workspace
	keep(t, w+"-both", "p1")
	keep(t, w+"-dotted.KEY", "p2")
	keep(t, w+"-dotted.other", "p3")
	keep(t, w+"-x.a.b", "p4")
	b.secret(t, w+"-dotted", "KEY", "file")
	b.secret(t, w+"-dotted", "third", "file")
	b.secret(t, "files", "KEY", "one\n")
	b.secret(t, "files", "other", "two")
	b.secret(t, "files", ".hidden", "no")
	b.secret(t, "bad", "link", "")
	must(t, os.Remove(filepath.Join(b.secrets, "bad", "link")))
	must(t, os.Symlink("/etc/hostname", filepath.Join(b.secrets, "bad", "link")))
	b.d.Sealed["doc:default/creds/token"] = seal("sealed")
	b.d.Sealed["doc:default/creds/broken"] = plan.Sealed{Format: plan.SealedSOPS}
	known := []string{
		"key:" + w + "-both/KEY", "key:" + w + "-dotted/KEY", "keys:" + w + "-dotted", "keys:" + w + "-x",
		"key:files/KEY", "key:files/other", "keys:files", "doc:default/creds/token",
	}
	missing := map[string]string{
		"key:files/none":            "there is no secret files with the key none: Podman has no secret files.none or files, and " + b.secrets + " no file files/none",
		"keys:none":                 "there is no secret none: Podman has no secret none.*, and " + b.secrets + " no file none/*",
		"doc:default/creds/gone":    "the workspace has no secret default/creds/gone",
		"doc:default/creds/broken":  "secret default/creds/broken cannot be opened: the MAC does not match",
		"key:" + w + "-dotted/none": "there is no secret " + w + "-dotted with the key none",
	}
	unknown := []string{"key:files/../files/KEY", "key:../files/KEY", "keys:..", "key:files", "keys:bad", "other:files"}
	refs := slices.Clone(known)
	for ref := range missing {
		refs = append(refs, ref)
	}
	b.wantSecrets(t, append(refs, unknown...)...)

	facts := func() map[string]plan.Fact {
		found := map[string]plan.Fact{}
		for in, f := range b.observe(t).Inputs {
			found[in.Name] = f
		}
		return found
	}
	before, again := facts(), facts()
	for _, ref := range known {
		f := before[ref]
		if f.State != plan.FactKnown || f.Value == "" || f != again[ref] {
			t.Errorf("%s: %+v, want known and the same twice", ref, f)
		}
		if podmans := strings.Contains(ref, w); strings.HasPrefix(f.Value, "podman:") != podmans {
			t.Errorf("%s: %s, of Podman: %t", ref, f.Value, podmans)
		}
	}
	for ref, detail := range missing {
		if f := before[ref]; f.State != plan.FactMissing || !strings.HasPrefix(f.Detail, detail) {
			t.Errorf("%s: %+v, want missing: %s", ref, f, detail)
		}
	}
	for _, ref := range unknown {
		if f := before[ref]; f.State != plan.FactUnknown || f.Detail == "" {
			t.Errorf("%s: %+v, want unknown", ref, f)
		}
	}

	// Each counts byte for byte, and so do the names of keys.
	changed := func(ref string) {
		t.Helper()
		if f := facts()[ref]; f.State != plan.FactKnown || f.Value == before[ref].Value {
			t.Errorf("%s after a change: %+v", ref, f)
		}
	}
	b.secret(t, "files", "KEY", "one")
	changed("key:files/KEY")
	changed("keys:files")
	before = facts()
	must(t, os.Rename(filepath.Join(b.secrets, "files", "other"), filepath.Join(b.secrets, "files", "renamed")))
	changed("keys:files")
	b.d.Sealed["doc:default/creds/token"] = seal("rotated")
	changed("doc:default/creds/token")
	keep(t, w+"-dotted.more", "p5")
	changed("keys:" + w + "-dotted")
	must(t, secrets.Remove(podmantest.Conn(t), w+"-both"))
	keep(t, w+"-both", "p1")
	changed("key:" + w + "-both/KEY")

	closed := newRunBed(t, nil)
	closed.d.Resources, closed.d.Sealed = b.d.Resources, b.d.Sealed
	if f := closed.fact(t, plan.InputSecret, "doc:default/creds/token"); f.State != plan.FactMissing {
		t.Errorf("where nothing is opened: %+v, want missing", f)
	}
}

// TestRunSecretSources: values come in from where the spec says, first match.
func TestRunSecretSources(t *testing.T) {
	b := newRunBed(t, func(o *podman.Options) { o.Unseal = unseal })
	w := b.d.Workspace
	keep(t, w+"-whole", "whole")
	keep(t, w+"-keyed.KEY", "keyed")
	keep(t, w+"-keyed", "never")
	b.secret(t, w+"-keyed", "KEY", "never")
	b.secret(t, "files", "KEY", "file\n")
	b.d.Sealed["doc:default/creds/token"] = seal("doc\n")
	id := b.task(t, `cat /s/whole /s/keyed /s/file /s/doc; echo; echo "$WHOLE,$KEYED,$FILE,$DOC,$KEY"`, func(c *plan.ContainerSpec) {
		for name, ref := range map[string]string{
			"whole": "key:" + w + "-whole/any", "keyed": "key:" + w + "-keyed/KEY", "file": "key:files/KEY", "doc": "doc:default/creds/token",
		} {
			c.SecretFiles = append(c.SecretFiles, plan.SecretFile{Ref: ref, Target: "/s/" + name, Mode: 0o400})
			c.Env = append(c.Env, plan.EnvVar{Name: strings.ToUpper(name), Secret: ref})
		}
		c.EnvFrom = []string{"keys:" + w + "-keyed"}
	})
	if got, want := b.finish(t, id, runOne), "wholekeyedfile\ndoc\n\nwhole,keyed,file,doc\n,keyed\n"; got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
	// What is made of values goes with the run that has them.
	derived := func() (n int) {
		list, err := secrets.List(podmantest.Conn(t), nil)
		must(t, err)
		for _, s := range list {
			if strings.HasPrefix(s.Spec.Name, "reconcile-"+w[:min(32, len(w))]+"-") {
				n++
			}
		}
		return n
	}
	if n := derived(); n != 4 {
		t.Errorf("%d secrets of ours, want 4", n)
	}
	del := on(plan.OpDelete, b.object(t, id))
	_, err := containers.Remove(podmantest.Conn(t), del.Object, nil)
	must(t, err)
	del.Run, del.Object = runOne, ""
	b.do(t, del)
	if n := derived(); n != 0 {
		t.Errorf("%d secrets of ours without a run, want none", n)
	}
}

func TestRunSecretErrors(t *testing.T) {
	b := newRunBed(t, func(o *podman.Options) { o.Unseal = unseal })
	w := b.d.Workspace
	keep(t, w+"-own", "v")
	b.secret(t, "odd", "not a name", "hush-1")
	b.secret(t, "plain", "PLAIN", "hush-2")
	b.secret(t, "bytes", "nul", "hush-3\x00")
	b.secret(t, "bytes", "long", strings.Repeat("h", 512000))
	b.secret(t, "bytes", "large", strings.Repeat("h", 128<<10-2))
	b.secret(t, "bytes", "longer", strings.Repeat("h", 512001))
	b.secret(t, "fits", "newline", strings.Repeat("h", 511999)+"\n")
	b.secret(t, "bytes", "none", "")
	envFrom := func(name string) func(*plan.ContainerSpec) {
		return func(c *plan.ContainerSpec) { c.EnvFrom = []string{"keys:" + name} }
	}
	env := func(name, ref string) func(*plan.ContainerSpec) {
		return func(c *plan.ContainerSpec) {
			c.Env = append(c.Env, plan.EnvVar{Name: name, Secret: ref})
		}
	}
	for name, tt := range map[string]struct {
		edit []func(*plan.ContainerSpec)
		want string
	}{
		"no name":       {[]func(*plan.ContainerSpec){envFrom("odd")}, `env of secret odd: its key "not a name" cannot be the name of a variable`},
		"literal":       {[]func(*plan.ContainerSpec){envFrom("plain"), func(c *plan.ContainerSpec) { c.Env = []plan.EnvVar{{Name: "PLAIN"}} }}, "env of secret plain: there is another variable with the name of its key PLAIN"},
		"secret":        {[]func(*plan.ContainerSpec){env("PLAIN", "key:plain/PLAIN"), envFrom("plain")}, "another variable with the name of its key PLAIN"},
		"name of a run": {[]func(*plan.ContainerSpec){envFrom("task"), func(*plan.ContainerSpec) { b.secret(t, "task", "TASK_NAME", "x") }}, "another variable with the name of its key TASK_NAME"},
		"NUL":           {[]func(*plan.ContainerSpec){env("X", "key:bytes/nul")}, "env X: secret bytes/nul holds a NUL byte"},
		"long": {[]func(*plan.ContainerSpec){func(c *plan.ContainerSpec) {
			c.SecretFiles = []plan.SecretFile{{Ref: "key:bytes/long", Target: "/a", Mode: 0o400}}
		}}, "file /a: secret bytes/long: the value does not have fewer than 512000 bytes"},
		"variable": {[]func(*plan.ContainerSpec){env("X", "key:bytes/large")}, "env X: secret bytes/large has 131070 bytes, and the variable can have 131069: mount it as a file"},
		"longer":   {[]func(*plan.ContainerSpec){env("X", "key:bytes/longer")}, "secret bytes/longer: the value does not have fewer than 512000 bytes"},
		"several":  {[]func(*plan.ContainerSpec){env("X", "keys:"+"two"), func(*plan.ContainerSpec) { b.secret(t, "two", "A", "1"); b.secret(t, "two", "B", "2") }}, "the secret has several values"},
		"two modes": {[]func(*plan.ContainerSpec){func(c *plan.ContainerSpec) {
			c.SecretFiles = []plan.SecretFile{{Ref: "key:" + w + "-own/x", Target: "/a", Mode: 0o400}, {Ref: "key:" + w + "-own/y", Target: "/b", Mode: 0o444}}
		}}, "file /b: the secret " + w + "-own of Podman is a file with the mode 0400 already, and cannot have 0444 as well"},
	} {
		t.Run(name, func(t *testing.T) {
			id := b.task(t, "true", func(c *plan.ContainerSpec) {
				for _, edit := range tt.edit {
					edit(c)
				}
			})
			_, err := b.try(t, b.ofRun(t, plan.OpCreate, id, runOne))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("moved", func(t *testing.T) {
		b.d.Sealed["doc:default/c/k"] = seal("one")
		id := b.wantSecrets(t, "keys:plain", "doc:default/c/k", "key:"+w+"-own/k")
		for ref, move := range map[string]func(){
			"plain":       func() { b.secret(t, "plain", "PLAIN", "new") },
			"default/c/k": func() { b.d.Sealed["doc:default/c/k"] = seal("two") },
			w + "-own/k":  func() { must(t, secrets.Remove(podmantest.Conn(t), w+"-own")); keep(t, w+"-own", "new") },
		} {
			step := b.ofRun(t, plan.OpCreate, id, runOne)
			move()
			b.refuse(t, step, "secret "+ref+" changed while planning")
		}
	})
	t.Run("no run", func(t *testing.T) {
		id := b.want("m", plan.ContainerSpec{Image: toolImage(t), Main: tool("cat", "/k"), User: "5:6", SecretFiles: []plan.SecretFile{{Ref: "key:plain/PLAIN", Target: "/k", Mode: 0o400}}})
		if got := b.run(t, id); got != "new" {
			t.Errorf("a secret of what is no run: %q", got)
		}
		id = b.want("n", plan.ContainerSpec{Image: toolImage(t), Main: tool("true"), SecretFiles: []plan.SecretFile{{Ref: "key:bytes/none", Target: "/k", Mode: 0o400}}})
		b.refuse(t, b.step(t, id), "secret bytes/none is empty, and Podman keeps no empty secrets")
		id = b.want("o", plan.ContainerSpec{Image: toolImage(t), Main: tool("true"), Mounts: []plan.Mount{{Type: plan.MountFiles, Target: "/f"}}})
		b.refuse(t, b.step(t, id), "mount /f: only a run has files of its own")
	})
}

// overheard is a way to the service that notes what is sent to create containers.
func overheard(t *testing.T) (socket string, said func() string) {
	t.Helper()
	var mu sync.Mutex
	var all strings.Builder
	socket = through(t, func(w http.ResponseWriter, req *http.Request, service http.Handler) {
		mu.Lock()
		all.WriteString(req.URL.String())
		if strings.HasSuffix(req.URL.Path, "/containers/create") {
			body, _ := io.ReadAll(req.Body)
			all.Write(body)
			req.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		mu.Unlock()
		service.ServeHTTP(w, req)
	})
	return socket, func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// through is a way to the service on which somebody may answer in its place.
func through(t *testing.T, answer func(w http.ResponseWriter, req *http.Request, service http.Handler)) (socket string) {
	t.Helper()
	to := strings.TrimPrefix(podmantest.Socket(t), "unix://")
	service := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "d"})
	service.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", to)
	}}
	dir, err := os.MkdirTemp("", "p")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { answer(w, req, service) })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return "unix://" + filepath.Join(dir, "s")
}

// TestRunLeaksNothing: values are in the process's environment, in its files and in
// Podman's secret store, and nowhere else. What Podman before 5.3 prints of a
// container that was started is its own affair.
func TestRunLeaksNothing(t *testing.T) {
	var mu sync.Mutex
	var said strings.Builder
	socket, sent := overheard(t)
	b := newRunBed(t, func(o *podman.Options) {
		o.URL, o.Unseal = socket, unseal
		o.Progress = func(p podman.Progress) { mu.Lock(); said.WriteString(p.Text); mu.Unlock() }
	})
	w := b.d.Workspace
	values := []string{"leak-1f", "leak-2p", "leak-3d", "leak-4k"}
	b.secret(t, "f", "KEY", values[0])
	keep(t, w+"-own", values[1])
	b.d.Sealed["doc:default/c/k"] = seal(values[2])
	b.secret(t, "k", "LEAK", values[3])
	refs := []string{"key:f/KEY", "key:" + w + "-own/KEY", "doc:default/c/k"}
	id := b.task(t, `test ${#LEAK} = 7 && cat /s/* > /dev/null && echo done`, func(c *plan.ContainerSpec) {
		c.EnvFrom = []string{"keys:k"}
		c.Mounts = []plan.Mount{{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{b.file("task.md", "t", 0)}}}
		for i, ref := range refs {
			name := string(rune('A' + i))
			c.Env = append(c.Env, plan.EnvVar{Name: name, Secret: ref})
			c.SecretFiles = append(c.SecretFiles, plan.SecretFile{Ref: ref, Target: "/s/" + name, Mode: 0o400},
				plan.SecretFile{Ref: ref, Target: "/workspace/s/" + name, Mode: 0o400})
		}
	})
	obj := b.made(t, id, runOne)
	conn := podmantest.Conn(t)
	created, err := containers.Inspect(conn, obj.Handle, nil)
	must(t, err)
	start := on(plan.OpStart, obj)
	start.Run = runOne
	b.do(t, start)
	if end := b.exited(t, id); end.Outcome == nil || end.Outcome.Code != 0 {
		t.Fatalf("outcome %+v; it said %s", end.Outcome, b.logs(t, obj.Handle))
	}
	ended, err := containers.Inspect(conn, obj.Handle, nil)
	must(t, err)
	if podmantest.Version(t) < 5 {
		ended.Config.Env = nil
	}
	listed, err := containers.List(conn, new(containers.ListOptions).WithAll(true))
	must(t, err)
	kept, err := secrets.List(conn, nil)
	must(t, err)
	mu.Lock()
	shown := map[string]any{
		"inspect": created, "inspect after the end": ended, "list": listed, "secrets": kept, "observed": b.observe(t), "desired": b.d.Sealed,
		"sent": sent(), "progress": said.String(), "log": b.logs(t, obj.Handle),
	}
	mu.Unlock()
	must(t, filepath.WalkDir(b.state, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			text, err := os.ReadFile(path)
			must(t, err)
			shown[path] = string(text)
		}
		return err
	}))
	for what, v := range shown {
		text, err := json.Marshal(v)
		must(t, err)
		for _, value := range values {
			if at := strings.Index(string(text), value); at >= 0 {
				t.Errorf("%s shows the value %s: …%s", what, value, text[max(0, at-100):at])
			}
		}
	}
}
