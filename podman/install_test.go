// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/tree"
)

// agentServer is the helper as it is built here.
func agentServer(t testing.TB) []byte {
	t.Helper()
	b, err := builtHelper()
	if err != nil {
		t.Fatalf("build the helper: %v", err)
	}
	return b
}

var builtHelper = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "helper-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "agent-server")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "reconcile/cmd/agent-server")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return said, err
	}
	return os.ReadFile(path)
})

// withHelper gives the runtime the real helper and keeps the logs of hooks.
func withHelper(t testing.TB, logs *hookLogs) func(*podman.Options) {
	return func(o *podman.Options) {
		o.Helper = func() (map[string][]byte, error) {
			return map[string][]byte{"agent-server": agentServer(t)}, nil
		}
		o.HookLog = logs.open
	}
}

// hookLogs are the logs of the hooks of a bed.
type hookLogs struct {
	mu   sync.Mutex
	runs map[string][]*bytes.Buffer // by target and hook
}

func (l *hookLogs) open(target plan.ID, hook plan.HookName) (io.WriteCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = map[string][]*bytes.Buffer{}
	}
	buf, key := new(bytes.Buffer), target.String()+" "+string(hook)
	l.runs[key] = append(l.runs[key], buf)
	return lockedLog{l, buf}, nil
}

type lockedLog struct {
	l   *hookLogs
	buf *bytes.Buffer
}

func (w lockedLog) Write(p []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.buf.Write(p)
}

func (w lockedLog) Close() error { return nil }

// of returns what each run of a hook said.
func (l *hookLogs) of(key string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var said []string
	for _, b := range l.runs[key] {
		said = append(said, b.String())
	}
	return said
}

// hookBed is a bed whose agents have hooks.
type hookBed struct {
	*bed
	logs *hookLogs
	code string // the agent's folder

	state string
}

func newHookBed(t testing.TB, edit func(*podman.Options)) *hookBed {
	t.Helper()
	logs := new(hookLogs)
	b := &hookBed{logs: logs, code: t.TempDir(), state: t.TempDir()}
	must(t, os.Chmod(b.state, 0o755))
	must(t, os.WriteFile(filepath.Join(b.code, "manifest.json"), []byte("{}"), 0o644))
	b.bed = newBed(t, func(o *podman.Options) {
		withHelper(t, logs)(o)
		o.StateDir = b.state
		if edit != nil {
			edit(o)
		}
	})
	return b
}

// agent wants an instance called name with an install hook, and its image.
func (b *hookBed) agent(t testing.TB, name, base string, edit func(*plan.ContainerSpec), commands ...string) (instance, image plan.ID) {
	t.Helper()
	hash, err := tree.Hash(os.DirFS(b.code))
	must(t, err)
	instance = plan.ID{Kind: plan.Manifest, Name: name}
	image = plan.ID{Kind: plan.Image, Name: name}
	state := filepath.Join(b.state, name)
	spec := plan.ContainerSpec{
		Image: base, Installed: true, Main: tool("pause"), StopTimeout: 1,
		Env: []plan.EnvVar{{Name: "AGENT_NAME", Value: name}},
		Mounts: []plan.Mount{
			{Type: plan.MountHelper, Target: "/Agent"},
			{Type: plan.MountCopy, From: b.code, Source: filepath.Join(state, "copies"), Target: "/code", TreeHash: hash},
			{Type: plan.MountDir, Source: filepath.Join(state, "work"), Target: "/workspace"},
		},
	}
	if edit != nil {
		edit(&spec)
	}
	b.add(plan.Resource{
		ID: instance, Name: b.d.Workspace + "-" + name, Origin: "x:1:1", Spec: plan.Spec{Container: &spec}, Want: plan.WantRunning,
		Needs: []plan.Need{{On: image, Until: plan.UntilExists, Bound: true, Origin: "x:1:1"}},
	})
	b.add(plan.Resource{
		ID: image, Name: "localhost/reconcile-" + b.d.Workspace + "/" + name, Origin: "x:1:2", Replace: plan.Overlap,
		Spec: plan.Spec{Image: &plan.ImageSpec{Base: base, Commands: commands, Env: spec.Env, Of: instance.String(), TreeHash: hash}},
	})
	return instance, image
}

// bind is the create step of an instance, bound to the generation of its image.
func (b *hookBed) bind(t testing.TB, instance plan.ID, image plan.Object) plan.Step {
	t.Helper()
	s := b.step(t, instance)
	s.Bound[plan.Input{Kind: plan.InputNeed, Name: image.ID.String()}.String()] = plan.Generation(image.Digest, image.Inputs)
	return s
}

// shell is an image with a shell and the test tool.
func shell(t testing.TB, changes ...string) string {
	return podmantest.Image(t, "shell"+strings.Map(onlyLetters, strings.ToLower(strings.Join(changes, ""))), podmantest.ImageOptions{Busybox: true, Changes: changes})
}

func onlyLetters(c rune) rune {
	if c >= 'a' && c <= 'z' {
		return c
	}
	return -1
}

// hookContainers are the containers of install hooks of the bed that there are.
func (b *hookBed) hookContainers(t testing.TB) []string {
	t.Helper()
	list, err := containers.List(podmantest.Conn(t), new(containers.ListOptions).WithAll(true))
	must(t, err)
	var names []string
	for _, c := range list {
		if strings.HasPrefix(c.Names[0], b.d.Workspace+"-hook-") {
			names = append(names, c.Names[0])
		}
	}
	return names
}

// config is what counts of an image's configuration.
type config struct {
	Entrypoint, Cmd, Env []string
	User, WorkDir        string
	Ports                []string
	Labels               map[string]string
}

func configOf(t testing.TB, ref string) config {
	t.Helper()
	img, err := images.GetImage(podmantest.Conn(t), ref, nil)
	must(t, err)
	c := config{
		Entrypoint: img.Config.Entrypoint, Cmd: img.Config.Cmd, Env: slices.Sorted(slices.Values(img.Config.Env)), // a commit orders them anew
		User: img.Config.User, WorkDir: img.Config.WorkingDir, Labels: map[string]string{},
	}
	for p := range img.Config.ExposedPorts {
		c.Ports = append(c.Ports, p)
	}
	for k, v := range img.Labels {
		if !strings.HasPrefix(k, "reconcile-image.") {
			c.Labels[k] = v
		}
	}
	return c
}

// TestInstall: what the hook installs is there when the agent runs, in an image
// that is otherwise the base.
func TestInstall(t *testing.T) {
	t.Setenv("RECONCILE_TEST_TOKEN", "tok-3f81c2")
	for _, tt := range []struct {
		name    string
		changes []string
	}{
		{"bare", nil},
		{"all", []string{
			`ENTRYPOINT ["/bin/tool","args"]`, `CMD ["a b","c\"d"]`, "ENV PATH=/bin:/opt/bin", "ENV FROM_IMAGE=x y", "USER 1000:1001",
			"WORKDIR /srv/here", "EXPOSE 8080/tcp", "LABEL org.example.title=Base image", "STOPSIGNAL SIGINT",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHookBed(t, func(o *podman.Options) { o.LookupEnv = os.LookupEnv })
			base := shell(t, tt.changes...)
			instance, id := b.agent(t, "a", base, func(c *plan.ContainerSpec) {
				c.Env = append(c.Env, plan.EnvVar{Name: "TOKEN", Secret: "env:RECONCILE_TEST_TOKEN"})
				c.Main = tool("seq", "cat", "/tmp/installed", "--", "cat", "/code/module", "--", "env", "AGENT_NAME", "FROM_IMAGE")
				c.Ports = []plan.Port{{HostIP: "127.0.0.1", Container: 7000, Protocol: "tcp"}}
				c.Labels = map[string]string{"mine": "x"}
				c.NoNewPrivileges = true
			}, `echo "$AGENT_NAME $TOKEN $FROM_IMAGE $(pwd)"; printf %s "$TOKEN" | head -c 3 > /tmp/installed`, "echo module > /code/module; echo in /workspace > /workspace/f")
			b.do(t, plan.Step{ID: "prepare", Op: plan.OpPrepare, Target: instance, Bound: b.step(t, instance).Bound})
			made := b.create(t, id)
			if left := b.hookContainers(t); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			seen := b.object(t, id)
			if seen.Handle != made.Handle || seen.Name != b.resource(id).Name || seen.State != plan.StateExists || len(seen.Drift) > 0 {
				t.Errorf("observed %+v, made %+v", seen, made)
			}
			want := configOf(t, base)
			if want.WorkDir == "" {
				want.WorkDir = "/" // the same place
			}
			ref := seen.Name + ":" + plan.Generation(made.Digest, made.Inputs)[:12]
			if diff := cmp.Diff(want, configOf(t, ref)); diff != "" {
				t.Errorf("configuration (-base +derived)\n%s", diff)
			}
			raw, err := images.GetImage(podmantest.Conn(t), ref, nil)
			must(t, err)
			if text := jsonOf(t, raw); strings.Contains(text, "tok-3f81c2") {
				t.Error("the image has the value of a secret")
			}
			said := b.logs.of("manifest/a install")
			from := ""
			if tt.changes != nil {
				from = "x y"
			}
			if diff := cmp.Diff([]string{"a [redacted] " + from + " /code\n"}, said); diff != "" {
				t.Errorf("log (-want +got)\n%s", diff)
			}

			obj := b.do(t, b.bind(t, instance, made))
			b.do(t, on(plan.OpStart, obj))
			wait := on(plan.OpWait, obj)
			wait.Until = plan.UntilFinished
			b.do(t, wait)
			out := "tokmodule\nAGENT_NAME=a\n"
			if tt.changes != nil {
				out += "FROM_IMAGE=x y\n"
			}
			if got := b.bed.logs(t, obj.Handle); got != out {
				t.Errorf("the agent said %q, want %q", got, out)
			}
			if got := b.object(t, instance); len(got.Drift) > 0 || got.Image != made.Handle {
				t.Errorf("observed %+v, want image %s and no drift", got, made.Handle)
			}
			if again := b.do(t, b.step(t, id)); again.Handle != made.Handle {
				t.Errorf("made again: %s, want %s", again.Handle, made.Handle)
			}
			if n := len(b.logs.of("manifest/a install")); n != 1 {
				t.Errorf("the hook ran %d times", n)
			}
		})
	}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

var errTooSlow = errors.New("too slow")

// TestInstallFails: what becomes of hooks that do not do what they should.
func TestInstallFails(t *testing.T) {
	empty := podmantest.Image(t, "no-shell", podmantest.ImageOptions{})
	for _, tt := range []struct {
		name, image string
		commands    []string
		timeout     time.Duration
		want        []string
		log         string // part of the log
	}{
		{"status", shell(t), []string{"echo one", "echo two >&2; exit 7", "echo three"}, 0, []string{"install failed: exit code 7; it said last:\n  one\n  two\n"}, "two"},
		{"killed", shell(t), []string{"kill -9 $$"}, 0, []string{"install failed: exit 137: killed, possibly out of memory"}, ""},
		{"no such program", shell(t), []string{"apk add git"}, 0, []string{"exit code 127", "apk: not found"}, ""},
		{"no shell", empty, []string{"echo x"}, 0, []string{"install failed", "the image has no shell"}, ""},
		{"hangs", shell(t), []string{"echo begun; sleep 1000"}, 3 * time.Second, []string{"install was ended before it was done; it said last:\n  begun", "too slow"}, "begun"},
		{"control characters", shell(t), []string{`printf '\033]0;x\007a\rb\r\nc\302\233d\377\n'; false`}, 0, []string{`  \x1b]0;x\x07a` + "\n  b\n  c\\x9bd\uFFFD\n"}, `\x1b]0;x`},
		{"flood", shell(t), []string{"echo first; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo last; false"}, 0, []string{"  last\n"}, "first"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHookBed(t, nil)
			_, id := b.agent(t, "a", tt.image, nil, tt.commands...)
			ctx := t.Context()
			if tt.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, tt.timeout, errTooSlow)
				defer cancel()
			}
			_, err := b.rt.Do(ctx, b.step(t, id), b.d)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			log := strings.Join(b.logs.of("manifest/a install"), "")
			if !strings.Contains(log, tt.log) || strings.ContainsAny(log, "\x1b\r\x07") || len(log) > 3<<20 {
				t.Errorf("log of %d bytes, want %q and no control characters", len(log), tt.log)
			}
			if left := b.hookContainers(t); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			for _, obj := range b.observe(t).Objects {
				t.Errorf("%s was made", obj.Name)
			}
		})
	}
}
