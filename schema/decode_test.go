// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// noPos compares values without their places.
var noPos = cmp.Options{
	cmpopts.IgnoreTypes(Pos{}),
	cmpopts.EquateEmpty(),
}

func decodeOne(t *testing.T, name, src string, opts Options) any {
	t.Helper()
	f, ds := DecodeFile(name, []byte(src), opts)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if len(f.Documents) != 1 {
		t.Fatalf("%d documents, want 1", len(f.Documents))
	}
	return f.Documents[0].Object
}

func manifestOf(t *testing.T, src, profile string) *Manifest {
	t.Helper()
	return decodeOne(t, "manifest.yaml", src, Options{Kind: KindManifest, Profile: profile}).(*Manifest)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func str(s string) Str  { return Str{V: s} }
func ptr(s string) *Str { return &Str{V: s} }
func strs(s ...string) (out []Str) {
	for _, x := range s {
		out = append(out, str(x))
	}
	return out
}

func TestManifestSpellings(t *testing.T) {
	got := manifestOf(t, readFile(t, "testdata/good/manifest-all.yaml"), "")
	want := &Manifest{
		Container:   str("docker.io/library/node:20@sha256:" + strings.Repeat("a", 64)),
		Preinstall:  strs("scripts/bootstrap.sh"),
		Install:     strs("npm install"),
		Postinstall: strs("npm run seed", "npm run check"),
		CLI:         str("node repl.js"),
		Agent:       str("node server.js"),
		Start:       str(`nginx -g "daemon off;"`),
		About:       str("Everything at once"),
		// profiles.default replaces the list.
		Env: []EnvVar{
			{Name: str("API_KEY"), VarName: "API_KEY", Required: true},
			{Name: str("LOG_LEVEL"), VarName: "LOG_LEVEL", Default: ptr("warn")},
		},
		Expose: []EnvVar{
			{Name: str("A"), VarName: "A", Default: ptr("true")},
			{Name: str("B"), VarName: "B", Ref: "LOG_LEVEL"},
		},
		Enable: []Enable{
			{Text: "a", Agent: "a"},
			{Text: "b/c as d", Repo: "b", Agent: "c", Alias: "d"},
			{Text: "e:f global", Repo: "e", Agent: "f", Mode: EnableGlobal},
			{Text: "g devel h no-wait as i", Agent: "g", Mode: EnableDevel, Devel: "h", NoWait: true, Alias: "i"},
		},
		Repos: []Repo{
			{Name: str("utils"), URL: str("https://example.org/utils.git")},
			{Name: str("more"), URL: str("git@example.org:more.git"), Ref: str("main"), Path: str("agents")},
		},
		Volumes: []Volume{
			{Host: str("./data"), Container: "/var/lib/data"},
			{Host: str("/srv/models"), Container: "/models", ReadOnly: true, Options: []string{"Z"}},
		},
		Ports: []Port{
			{Host: 80, Container: 80, Protocol: "tcp"},
			{Host: 8080, Container: 7000, Protocol: "tcp"},
			{HostIP: "0.0.0.0", Host: 53, Container: 53, Protocol: "udp"},
			{HostIP: "::1", Host: 443, Container: 8443, Protocol: "tcp"},
		},
		Health: &Health{
			Liveness:  &Probe{Script: str("live.sh"), Interval: 1, Timeout: 5, FailureThreshold: 5, SuccessThreshold: 1},
			Readiness: &Probe{Script: str("ready.sh"), Interval: 0.5, Timeout: 2.5, InitialDelay: 1, FailureThreshold: 3, SuccessThreshold: 2},
		},
		Profiles: strs("default", "prod"),
	}
	if diff := cmp.Diff(want, got, noPos); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManifestEnv(t *testing.T) {
	tests := []struct {
		name, env string
		want      []EnvVar
	}{
		{"list of names", `[A]`, []EnvVar{{Name: str("A"), VarName: "A", Required: true}}},
		{"default", `["A=b=c"]`, []EnvVar{{Name: str("A"), VarName: "A", Default: ptr("b=c")}}},
		{"empty default", `["A="]`, []EnvVar{{Name: str("A"), VarName: "A", Default: ptr("")}}},
		{"object", `[{name: A, varName: B, value: c, required: "no"}]`, []EnvVar{{Name: str("A"), VarName: "B", Default: ptr("c")}}},
		{"default over value", `[{name: A, default: 1, value: 2, required: 1}]`, []EnvVar{{Name: str("A"), VarName: "A", Default: ptr("1"), Required: true}}},
		{"map scalars", `{A: x, B: 8080, C: 1.50, D: true, E: ""}`, []EnvVar{
			{Name: str("A"), VarName: "A", Default: ptr("x")},
			{Name: str("B"), VarName: "B", Default: ptr("8080")},
			{Name: str("C"), VarName: "C", Default: ptr("1.50")},
			{Name: str("D"), VarName: "D", Default: ptr("true")},
			{Name: str("E"), VarName: "E", Default: ptr("")},
		}},
		{"map null", `{A: null, B: , C: ~}`, []EnvVar{
			{Name: str("A"), VarName: "A", Required: true}, {Name: str("B"), VarName: "B", Required: true}, {Name: str("C"), VarName: "C", Required: true},
		}},
		{"map object", `{A: {varName: B, default: c, required: yes}, D: {}, E: {default: null}}`, []EnvVar{
			{Name: str("A"), VarName: "B", Default: ptr("c"), Required: true}, {Name: str("D"), VarName: "D"}, {Name: str("E"), VarName: "E"},
		}},
		{"null as a whole", ``, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := manifestOf(t, "container: x\nenv: "+tt.env+"\n", "").Env
			if diff := cmp.Diff(tt.want, got, noPos); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	const src = `container: base
cli: base
env: {A: base, B: base}
install: [one, two]
health: {liveness: {script: a.sh, interval: 2}}
profiles:
  default: {env: {B: default, C: default}, install: three}
  dev: {image: dev, env: {C: dev}, health: {liveness: {interval: 9}}, cli: ""}
`
	summary := func(m *Manifest) string {
		var b strings.Builder
		b.WriteString(m.Container.V + " cli=" + m.CLI.V + " ")
		for _, e := range m.Env {
			b.WriteString(e.Name.V + "=" + e.Default.V + " ")
		}
		for _, i := range m.Install {
			b.WriteString(i.V + " ")
		}
		return b.String() + m.Health.Liveness.Script.V
	}
	for profile, want := range map[string]string{
		"":        "base cli=base A=base B=default C=default three a.sh",
		"default": "base cli=base A=base B=default C=default three a.sh",
		"dev":     "dev cli= A=base B=default C=dev three a.sh",
		"absent":  "base cli=base A=base B=default C=default three a.sh",
	} {
		m := manifestOf(t, src, profile)
		if got := summary(m); got != want {
			t.Errorf("profile %q: got %q, want %q", profile, got, want)
		}
		if profile == "dev" && (m.Container.Pos.Line != 8 || m.Health.Liveness.Interval != 9) {
			t.Errorf("profile dev: container at %v, interval %v; want the profile's line 8 and 9", m.Container.Pos, m.Health.Liveness.Interval)
		}
	}
}

func TestOtherKinds(t *testing.T) {
	f, ds := DecodeFile("documents.yaml", []byte(readFile(t, "testdata/good/documents.yaml")), Options{})
	if len(ds) != 0 {
		t.Fatal(ds)
	}
	want := []any{
		&Agent{
			Image: str("localhost/agent"), Command: []string{"sh", "-c", `echo "$1"`}, WorkspaceDir: str("/work"),
			Contexts: []ContextMount{
				{Name: str("c")},
				{Name: str("d"), Namespace: str("other"), MountPath: str("guides/d.md")},
				{Name: str("e"), Source: &ContextSource{Type: ContextInline, Inline: ptr("")}},
			},
			Credentials: []Credential{
				{Name: str("all"), Secret: str("s"), FileMode: 0o600},
				{Name: str("key"), Secret: str("s"), Key: str("tls.key"), MountPath: str("/home/agent/.ssh/id"), FileMode: 0o400},
				{Name: str("text"), Secret: str("s"), Key: str("t"), Env: str("TOKEN"), MountPath: str("t"), FileMode: 0o440},
				{Name: str("folder"), Secret: str("s"), MountPath: str("certs"), FileMode: 0o600},
			},
			MaxConcurrentTasks: Int{V: 2},
			HumanInTheLoop:     &HumanInTheLoop{Enabled: true, KeepAliveSeconds: 3600},
			Labels:             map[string]string{"team": "a"},
		},
		&Task{TaskSpec: TaskSpec{
			Description: str("Do it\n"), AgentRef: str("default"), Timeout: 90 * time.Minute,
			HumanInTheLoop: &HumanInTheLoop{Enabled: true, KeepAliveSeconds: 60},
		}},
		&CronTask{
			Schedule: str("0 9 * * 5-7"), TimeZone: str("Europe/Paris"), Concurrency: ConcurrencyReplace, Suspend: true,
			StartingDeadlineSeconds: Int{V: 60}, FailedHistory: 1,
			Template: TaskSpec{Description: str("Nightly")},
		},
		&Context{Source: ContextSource{Type: ContextGit, Git: &GitSource{
			Repository: str("https://example.org/x"), Path: str(".claude/"), Ref: str("main"), SecretRef: str("s"), RecurseSubmodules: true,
		}}},
		&Context{Source: ContextSource{Type: ContextConfigMap, ConfigMap: &ConfigMapSource{Name: str("m"), Key: str("a.md"), Optional: true}}},
		&ConfigMap{
			Data:   map[string]string{"a.md": "# A\n"},
			Binary: map[string][]byte{"b.bin": {0, 1, 2}},
			Files:  map[string]Str{"c.txt": str("./texts/c.txt")},
		},
		&Secret{Encrypted: map[string]string{"token": "-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCg==\n-----END AGE ENCRYPTED FILE-----\n"}},
		&Secret{SOPS: true, SOPSKeys: []string{"token"}},
		&TaskAgent{
			WorkerPoolRef: "default", Timeout: time.Minute, Delivery: DeliveryMetadata, Schedule: str("@every 10m"),
			ScheduleInput: []byte(`{"n":12345678901234567890,"list":[1.50,null,true,"x"]}`), MaxConcurrent: 3, WarmPoolSize: 1,
			WarmPoolIdleTTL: 5 * time.Minute, Streaming: true, State: &State{MountPath: "/state", SizeLimitMB: 10},
			Template: Template{
				Image: str("example.org/x:1"), Command: []string{"a"}, Args: []string{"b"},
				Env: []NameValue{{Name: str("A")}, {Name: str("B")}},
				CPU: str("500m"), NanoCPUs: 5e8, Memory: str("512Mi"), MemoryBytes: 512 << 20,
			},
		},
		&DaemonAgent{
			WorkerPoolRef: str("default"), RestartPolicy: str("OnFailure"), MaxRestarts: Int{V: 3}, MaxLifetimeSeconds: Int{V: 60},
			Template: Template{Image: str("example.org/x"), CPU: str("1.5"), NanoCPUs: 15e8, Memory: str("1e9"), MemoryBytes: 1e9},
		},
	}
	var got []any
	for _, d := range f.Documents {
		got = append(got, d.Object)
	}
	if diff := cmp.Diff(want, got, noPos); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := f.Documents[0]; d.Meta.Namespace.V != "team" || d.Meta.Annotations["c"] != "d" || d.APIVersion != "kubeopencode.io/v1alpha1" || d.Pos.Line != 1 {
		t.Errorf("identity of the first document: %+v", d)
	}
	if f.Documents[1].Meta.Namespace.V != "default" {
		t.Errorf("namespace of the second document: %q, want default", f.Documents[1].Meta.Namespace.V)
	}
	wantIgnored := []Ignored{
		{Pos: Pos{"documents.yaml", 102, 1}, APIVersion: "apps/v1", Kind: "Deployment", Why: "another API group"},
		{Pos: Pos{"documents.yaml", 105, 1}, Why: "no apiVersion and kind"},
	}
	if diff := cmp.Diff(wantIgnored, f.Ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestTaskAgentDefaults(t *testing.T) {
	got := decodeOne(t, "a.yaml", `apiVersion: clrk.apoxy.dev/v1alpha1
kind: TaskAgent
metadata: {name: a}
spec: {workerPoolRef: default, state: {}, template: {spec: {image: x}}}
`, Options{}).(*TaskAgent)
	want := &TaskAgent{
		WorkerPoolRef: "default", Timeout: 100 * time.Second, Delivery: DeliveryStdin, ScheduleInput: []byte("{}"),
		WarmPoolIdleTTL: 10 * time.Minute, State: &State{MountPath: "/var/clrk/state"}, Template: Template{Image: str("x")},
	}
	if diff := cmp.Diff(want, got, noPos); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWorkspace(t *testing.T) {
	got := decodeOne(t, "workspace.yaml", readFile(t, "testdata/good/workspace.yaml"), Options{Kind: KindWorkspace}).(*Workspace)
	want := &Workspace{
		Name: str("acme"),
		Repos: []Repo{
			{Name: str("utils"), URL: str("https://example.org/org/utils.git")},
			{Name: str("tools"), URL: str("git@example.org:org/tools.git"), Ref: str("v1.2.0"), Path: str("agents"), Git: str("exec"), SecretRef: str("tools-key")},
			{Name: str("local"), URL: str("../agents")},
			{Name: str("mirror"), URL: str("ssh://git@example.org/x.git"), SecretRef: str("mirror-key")},
		},
		Enable: []Enable{
			{Text: "orchestrator", Agent: "orchestrator"},
			{Text: "explorer as explorer2", Agent: "explorer", Alias: "explorer2"},
			{Text: "logger devel utils", Agent: "logger", Mode: EnableDevel, Devel: "utils"},
			{Text: "utils/cache", Repo: "utils", Agent: "cache"},
			{Text: "tools:db global no-wait", Repo: "tools", Agent: "db", Mode: EnableGlobal, NoWait: true},
		},
		Vars: []Var{
			{Name: str("LOG_LEVEL"), Value: str("debug")},
			{Name: str("WORKERS"), Value: str("4")},
			{Name: str("TRACE"), Value: str("true")},
			{Name: str("ALIAS"), Value: str("$LOG_LEVEL")},
			{Name: str("DATABASE_URL"), Secret: str("database-url")},
			{Name: str("EDITOR_KEY"), Env: str("EDITOR_KEY")},
		},
		Expose: []Expose{
			{Agent: str("orchestrator"), Name: str("DATABASE_URL"), Value: str("$DATABASE_URL")},
			{Agent: str("orchestrator"), Name: str("N"), Value: str("3")},
		},
		Policy: Policy{
			Mounts: str("workspace"), HostHooks: str("locked"), PlaintextSecrets: str("warn"), RequireApproval: str("authority"), Registries: strs("example.org"), FileURLs: Bool{V: true},
		},
		Profile: str("dev"), HooksTimeout: Float{V: 600}, ImagesPin: Bool{V: true}, NetworkIPv6: Bool{V: true},
	}
	if diff := cmp.Diff(want, got, noPos); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.TasksTTL.IsSet() || !got.Policy.Relabel.IsSet() || !got.Repos[1].Depth.IsSet() {
		t.Error("a zero value that was given reads as not given")
	}
}

func TestInvalidDocumentsKeepTheirIdentity(t *testing.T) {
	f, ds := DecodeFile("a.yaml", []byte(`apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: a}
spec: {descripton: x}
---
apiVersion: kubetask.io/v1alpha1
kind: Task
metadata: {name: b}
spec: {description: x}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {a: x, a: y}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: [d
`), Options{})
	var got []string
	for _, d := range f.Documents {
		got = append(got, d.Meta.Name.V+map[bool]string{true: " invalid"}[d.Invalid])
	}
	if diff := cmp.Diff([]string{"a invalid", "b", "c invalid"}, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if len(ds) != 3 {
		t.Errorf("got %d problems, want 3: %v", len(ds), ds)
	}
}

func TestDecodeNode(t *testing.T) {
	at := func(line int) Pos { return Pos{"agents.cue", line, 1} }
	text := func(line int, s string) *Node { return textAt(at(line), s) }
	n := &Node{Kind: NodeMap, Pos: at(1), Fields: []Field{
		{"apiVersion", at(1), text(1, "kubetask.io/v1alpha1")},
		{"kind", at(2), text(2, "Task")},
		{"metadata", at(3), &Node{Kind: NodeMap, Pos: at(3), Fields: []Field{{"name", at(3), text(3, "a")}}}},
		{"spec", at(4), &Node{Kind: NodeMap, Pos: at(4), Fields: []Field{{"timeout", at(5), text(5, "soon")}}}},
	}}
	doc, ds := DecodeNode(n, Options{Unified: true})
	if doc.Kind != KindTask || !doc.Invalid || doc.Meta.Name.V != "a" || doc.Unified == nil {
		t.Errorf("document: %+v", doc)
	}
	if len(ds) != 1 || ds[0].Pos != at(5) {
		t.Errorf("diagnostics: %v, want one at line 5", ds)
	}
	other := &Node{Kind: NodeMap, Pos: at(1), Fields: []Field{{"apiVersion", at(1), text(1, "apps/v1")}, {"kind", at(2), text(2, "Deployment")}}}
	if doc, ds := DecodeNode(other, Options{}); doc.Kind != "" || len(ds) != 0 {
		t.Errorf("foreign document: %+v, %v", doc, ds)
	}
}

func TestDecodeIsDeterministic(t *testing.T) {
	for _, f := range corpus(t) {
		_, want := DecodeFile(f.name, f.src, Options{Kind: f.kind})
		for range 3 {
			if _, got := DecodeFile(f.name, f.src, Options{Kind: f.kind}); cmp.Diff(want, got) != "" {
				t.Errorf("%s: %s", f.name, cmp.Diff(want, got))
			}
		}
	}
}
