// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"reconcile/schema"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		line  string
		shell bool
		words []string
		err   error
	}{
		{"node server.js", false, []string{"node", "server.js"}, nil},
		{"  a\tb  ", false, []string{"a", "b"}, nil},
		{`python -c 'print("a b")'`, false, []string{"python", "-c", `print("a b")`}, nil},
		{`a "b \" c" ''`, false, []string{"a", `b " c`, ""}, nil},
		{`a b\ c`, false, []string{"a", "b c"}, nil},
		{`a "b\d"`, false, []string{"a", `b\d`}, nil},
		{`x'y'"z"`, false, []string{"xyz"}, nil},
		{`a --opt=1 {} user@host:~ b#c`, false, []string{"a", "--opt=1", "{}", "user@host:~", "b#c"}, nil},
		{`a '$HOME' '*'`, false, []string{"a", "$HOME", "*"}, nil},
		{`a "$HOME"`, true, []string{"a", "$HOME"}, nil},
		{"a `b`", true, []string{"a", "`b`"}, nil},
		{"a | b", true, []string{"a", "|", "b"}, nil},
		{"a; b", true, []string{"a;", "b"}, nil},
		{"a && b", true, []string{"a", "&&", "b"}, nil},
		{"ls *.py", true, []string{"ls", "*.py"}, nil},
		{"a ~/b", true, []string{"a", "~/b"}, nil},
		{"a # note", true, []string{"a", "#", "note"}, nil},
		{"A=1 b", true, []string{"A=1", "b"}, nil},
		{"a\nb", true, []string{"a", "b"}, nil},
		{`a "b`, false, nil, errQuote},
		{`a 'b`, false, nil, errQuote},
		{`a \`, false, nil, errSlash},
	}
	for _, tt := range tests {
		if got := needsShell(tt.line); got != tt.shell {
			t.Errorf("needsShell(%q) = %v, want %v", tt.line, got, tt.shell)
		}
		got, err := split(tt.line)
		if !errors.Is(err, tt.err) || !cmp.Equal(got, tt.words) {
			t.Errorf("split(%q) = %q, %v, want %q, %v", tt.line, got, err, tt.words, tt.err)
		}
	}
}

func TestNormalize(t *testing.T) {
	const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for image, want := range map[string]string{
		"alpine":                      "docker.io/library/alpine:latest",
		"alpine:3.20":                 "docker.io/library/alpine:3.20",
		"acme/tool":                   "docker.io/acme/tool:latest",
		"docker.io/alpine":            "docker.io/library/alpine:latest",
		"index.docker.io/acme/tool:1": "docker.io/acme/tool:1",
		"localhost/x":                 "localhost/x:latest",
		"localhost:5000/x/y:2":        "localhost:5000/x/y:2",
		"ghcr.io/acme/x@" + digest:    "ghcr.io/acme/x@" + digest,
		"alpine:3@" + digest:          "docker.io/library/alpine@" + digest,
	} {
		if got, err := normalize(image); got != want || err != nil {
			t.Errorf("normalize(%q) = %q, %v, want %q", image, got, err, want)
		}
	}
	for _, image := range []string{"", "Alpine", "a b", "a:b:c", "x@sha256:12", "http://x/y"} {
		if got, err := normalize(image); err == nil {
			t.Errorf("normalize(%q) = %q, want an error", image, got)
		}
	}
}

func TestOverlap(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.1", "127.0.0.2", false},
		{"0.0.0.0", "10.0.0.1", true},
		{"::", "10.0.0.1", true},
		{"::", "0.0.0.0", true},
		{"::1", "0.0.0.0", false},
		{"::1", "::", true},
		{"::ffff:10.0.0.1", "10.0.0.1", true},
	}
	for _, tt := range tests {
		if overlap(tt.a, tt.b) != tt.want || overlap(tt.b, tt.a) != tt.want {
			t.Errorf("overlap(%s, %s) != %v", tt.a, tt.b, tt.want)
		}
	}
}

func TestStrictest(t *testing.T) {
	str := func(s, where string) schema.Str { return schema.Str{V: s, Pos: at(where)} }
	flag := func(b bool, where string) schema.Bool { return schema.Bool{V: b, Pos: at(where)} }
	const host, ws = "host.yaml", "workspace.yaml"
	tests := []struct {
		name string
		host *schema.Policy
		ws   schema.Policy
		want rules
	}{
		{"defaults", nil, schema.Policy{}, rules{hostHooks: "locked", mounts: "workspace", fileURLs: true}},
		{
			"workspace narrows", nil,
			schema.Policy{Mounts: str("none", ws), FileURLs: flag(false, ws)},
			rules{hostHooks: "locked", mounts: "none", mountsAt: at(ws), fileURLsAt: at(ws)},
		},
		{"workspace says the default", nil, schema.Policy{Mounts: str("workspace", ws)}, rules{hostHooks: "locked", mounts: "workspace", mountsAt: at(ws), fileURLs: true}},
		{"workspace cannot widen", nil, schema.Policy{Mounts: str("any", ws)}, rules{hostHooks: "locked", mounts: "workspace", fileURLs: true, mountsFromHost: true}},
		{"host widens", &schema.Policy{Mounts: str("any", host)}, schema.Policy{}, rules{hostHooks: "locked", mounts: "any", mountsAt: at(host), fileURLs: true}},
		{
			"both say the same", &schema.Policy{Mounts: str("none", host)},
			schema.Policy{Mounts: str("none", ws)},
			rules{hostHooks: "locked", mounts: "none", mountsAt: at(host), fileURLs: true},
		},
		{
			"host forbids", &schema.Policy{FileURLs: flag(false, host), Relabel: flag(false, host), HostHooks: str("deny", host)},
			schema.Policy{FileURLs: flag(true, ws), Relabel: flag(true, ws), HostHooks: str("allow", ws)},
			rules{mounts: "workspace", fileURLsAt: at(host), hostHooks: "deny", hostHooksAt: at(host)},
		},
		{
			"either denies", &schema.Policy{PlaintextSecrets: str("warn", host), RequireApproval: str("none", host)},
			schema.Policy{PlaintextSecrets: str("deny", ws), RequireApproval: str("authority", ws)},
			rules{hostHooks: "locked", mounts: "workspace", fileURLs: true, denyPlaintext: true, plaintextAt: at(ws), requireApproval: true},
		},
		{
			"both deny", &schema.Policy{PlaintextSecrets: str("deny", host)},
			schema.Policy{PlaintextSecrets: str("deny", ws)},
			rules{hostHooks: "locked", mounts: "workspace", fileURLs: true, denyPlaintext: true, plaintextAt: at(host)},
		},
		{"workspace relabels", nil, schema.Policy{Relabel: flag(true, ws)}, rules{hostHooks: "locked", mounts: "workspace", fileURLs: true, relabel: true}},
		{
			"registries of both", &schema.Policy{Registries: []schema.Str{str("a.org", host)}},
			schema.Policy{Registries: []schema.Str{}, Pos: at(ws)},
			rules{hostHooks: "locked", mounts: "workspace", fileURLs: true, registries: []registryRule{
				{[]schema.Str{str("a.org", host)}, at(host)}, {[]schema.Str{}, at(ws)},
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strictest(tt.host, tt.ws, schema.Str{})
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(rules{}, registryRule{})); diff != "" {
				t.Errorf("strictest (-want +got):\n%s", diff)
			}
		})
	}
}

// A graph with exponentially many chains must not take exponential time.
func TestWhyIsBounded(t *testing.T) {
	g := &Graph{Edges: []Edge{{From: "", To: "a0"}}}
	const levels = 40
	for i := range levels {
		from, to := fmt.Sprintf("a%d", i), fmt.Sprintf("a%d", i+1)
		g.Edges = append(g.Edges, Edge{From: from, To: "b" + to}, Edge{From: from, To: "c" + to}, Edge{From: "b" + to, To: to}, Edge{From: "c" + to, To: to})
	}
	chains := g.Why(fmt.Sprintf("a%d", levels))
	if len(chains) != maxChains {
		t.Fatalf("%d chains, want %d", len(chains), maxChains)
	}
	for _, c := range chains {
		if c[0].From != "" || c[len(c)-1].To != fmt.Sprintf("a%d", levels) {
			t.Fatalf("chain %v does not lead from the workspace to the instance", c)
		}
	}
	if got := g.Why("nobody"); got != nil {
		t.Errorf("Why(nobody) = %v", got)
	}
}

func TestLoadEnds(t *testing.T) {
	if _, _, err := Load(t.Context(), Options{Dir: t.TempDir() + "/nowhere"}); err == nil {
		t.Error("a folder that is not there was loaded")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Load(ctx, Options{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a context that is done = %v", err)
	}
}

// closedFS has a folder that may not be looked into.
type closedFS struct {
	fs.FS
	closed string
}

func (f closedFS) Lstat(name string) (fs.FileInfo, error) {
	if strings.HasPrefix(name, f.closed+"/") {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
	}
	return fs.Lstat(f.FS, name)
}

func (f closedFS) ReadLink(name string) (string, error) { return fs.ReadLink(f.FS, name) }

// An agent that cannot be looked at is not one that is elsewhere.
func TestFindClosedFolder(t *testing.T) {
	files := fstest.MapFS{"agents/open/manifest.yaml": {}, "notes": {}}
	r := &repo{name: "tools", files: closedFS{files, "agents/shut"}, agents: map[string]*agent{}}
	if a := r.find("shut"); a == nil || a.files[0] != "agents/shut/manifest.json" || len(a.files) != 1 {
		t.Errorf("closed folder: %+v, want an agent with one manifest", a)
	}
	if a := r.find("open"); a == nil || a.files[0] != "agents/open/manifest.yaml" {
		t.Errorf("open folder: %+v", a)
	}
	for _, name := range []string{"absent", "notes"} {
		if a := r.find(name); a != nil {
			t.Errorf("%s: %+v, want none", name, a)
		}
	}
}

// The strictest word counts, and without one of the host's own hooks are locked.
func TestHostHooks(t *testing.T) {
	for _, tt := range []struct{ host, flag, ws, want, at string }{
		{"", "", "", "locked", ""},
		{"", "", "allow", "locked", ""},
		{"", "", "deny", "deny", "ws"},
		{"allow", "", "", "allow", ""},
		{"", "allow", "", "allow", ""},
		{"allow", "", "locked", "locked", "ws"},
		{"allow", "locked", "allow", "locked", "flag"},
		{"locked", "allow", "allow", "locked", "host"},
		{"deny", "allow", "allow", "deny", "host"},
		{"", "deny", "deny", "deny", "flag"},
	} {
		says := func(word, file string) schema.Str {
			if word == "" {
				return schema.Str{}
			}
			return schema.Str{V: word, Pos: at(file)}
		}
		host := &schema.Policy{HostHooks: says(tt.host, "host")}
		got := strictest(host, schema.Policy{HostHooks: says(tt.ws, "ws")}, says(tt.flag, "flag"))
		if got.hostHooks != tt.want || got.hostHooksAt.File != tt.at {
			t.Errorf("host %q, flag %q, workspace %q: %s by %q, want %s by %q", tt.host, tt.flag, tt.ws, got.hostHooks, got.hostHooksAt.File, tt.want, tt.at)
		}
	}
}
