// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "reconcile"

// anything is the row of a package that may know all others.
const anything = "*"

// importTable says which of our packages each package may import, and why no
// others. Test files may import anything.
var importTable = map[string]struct {
	may []string
	why string
}{
	"schema":                  {[]string{"schedule"}, "the formats know nothing of what is done with them"},
	"workspace":               {[]string{"schema", "reconcile/plan", "tree", "helper"}, "it turns files into the desired state, and has no effects"},
	"reconcile/plan":          {[]string{"schedule"}, "the pure core compares data; everything else depends on it"},
	"reconcile":               {[]string{"reconcile/plan", "schema", "atomicfile", "schedule"}, "runtimes and sources reach the executor through its own small interfaces"},
	"render":                  {[]string{"reconcile/plan", "schema"}, "a view is a function of the plan: it has nothing to look anything up with"},
	"reconcile/reconciletest": {[]string{"reconcile", "reconcile/plan"}, "the suite must hold any runtime to the contract, so it knows none"},
	"podman":                  {[]string{"reconcile/plan", "helper", "tree", "atomicfile"}, "adapters know neither each other nor the executor, so that another runtime is one new folder"},
	"podman/podmantest":       {nil, "tests of every package use it"},
	"hooks":                   {[]string{"reconcile/plan", "helper", "atomicfile"}, "adapters know neither each other nor the executor"},
	"repos":                   {[]string{"atomicfile"}, "git knows nothing of manifests"},
	"repos/repostest":         {nil, "tests of every package use it"},
	"forge":                   {nil, "forges are told about commits, and know nothing of ours"},
	"dispatch":                {[]string{"reconcile/plan", "schedule", "atomicfile"}, "adapters know neither each other nor the executor"},
	"dispatch/dispatchtest":   {[]string{"dispatch", "reconcile/plan"}, "the suite must hold any runtime of executions to the contract, so it knows none"},
	"schedule":                {nil, "cron is pure: time is data"},
	"control":                 {nil, "it carries requests and answers; what they mean is the daemon's business"},
	"secrets":                 {[]string{"reconcile/plan"}, "adapters know neither each other nor the executor"},
	"helper":                  {nil, "it is what both binaries share, and nothing else"},
	"atomicfile":              {nil, "a leaf, so that everyone who keeps files may use it"},
	"tree":                    {nil, "a leaf, so that everyone who handles folders may use it"},
	"cmd/reconcile":           {[]string{anything}, "the only place that knows all packages"},
	"cmd/agent-server":        {[]string{"helper"}, "it is mounted into containers: small, and without the daemon's code"},
}

func TestImportTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range sources(t) {
		dir := path.Dir(f.path)
		if dir == "." || f.test || f.fixture {
			continue
		}
		seen[dir] = true
		row, ok := importTable[dir]
		if !ok {
			t.Errorf("%s: the package is not in the import table; give it a row in imports_test.go", f.path)
			continue
		}
		for _, imp := range f.imports() {
			ours, ok := strings.CutPrefix(imp.path, module+"/")
			if !ok || slices.Contains(row.may, anything) || slices.Contains(row.may, ours) {
				continue
			}
			t.Errorf("%s: %s may not import %s: %s", f.at(imp.pos), dir, ours, row.why)
		}
	}
	for dir, row := range importTable {
		for _, may := range row.may {
			if _, ok := importTable[may]; !ok && may != anything {
				t.Errorf("import table: %s may import %s, which is not a row", dir, may)
			}
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d packages were found", len(seen))
	}
}

// homes says where a library of others may be imported: each technology has one
// package, behind which it can be replaced. The first row that matches counts.
var homes = []struct {
	prefix string
	in     []string // folders, with everything below
	why    string
}{
	{"github.com/containers/podman/", []string{"podman"}, "a second runtime must be one new folder"},
	{"go.podman.io/", []string{"podman"}, "a second runtime must be one new folder"},
	{"github.com/google/go-containerregistry/pkg/name", []string{"podman", "workspace"}, "a reference is text"},
	{"github.com/google/go-containerregistry/", []string{"podman"}, "registries are the runtime's business"},
	{"github.com/go-git/go-git/v5/plumbing/format/gitignore", []string{"repos", "workspace"}, "patterns are no repository"},
	{"github.com/go-git/", []string{"repos"}, "git is hidden behind commits and fs.FS"},
	{"cuelang.org/", []string{"schema", "workspace"}, "formats are decoded once, into Go types"},
	{"go.yaml.in/yaml/", []string{"schema", "workspace", "secrets"}, "formats are decoded once, into Go types; only sops shows what it decrypts"},
	{"github.com/santhosh-tekuri/jsonschema/", []string{"schema"}, "formats are decoded once, into Go types"},
	{"github.com/fsnotify/", []string{"workspace"}, "one watcher a process"},
	{"github.com/robfig/cron/", []string{"schedule"}, "what a schedule means is said in one place"},
	{"filippo.io/age", []string{"secrets"}, "values are decrypted in one place"},
	{"github.com/modelcontextprotocol/", []string{"cmd/agent-server", "cmd/reconcile"}, "MCP is spoken by the helper, and by who uses it from a command line"},
	{"github.com/google/jsonschema-go/", []string{"cmd/agent-server"}, "it belongs to the MCP SDK"},
	{"github.com/prometheus/", []string{"cmd/reconcile"}, "what is counted is known where everything is wired"},
	{"github.com/aymanbagabas/go-udiff", []string{"render"}, "what a difference looks like is a matter of the views"},
	{"github.com/cloudevents/", nil, "events are written in dispatch; the SDK only checks them, in tests"},
	{"github.com/spf13/", []string{"cmd/reconcile"}, "the command line is one package"},
	{"os/exec", []string{"workspace", "podman", "hooks", "repos", "secrets", "cmd"}, "processes are started by adapters"},
	{"gopkg.in/yaml", nil, "go.yaml.in/yaml/v4 is our YAML"},
	{"sigs.k8s.io/yaml", nil, "go.yaml.in/yaml/v4 is our YAML"},
	{"github.com/pkg/errors", nil, "the standard library wraps errors"},
	{"github.com/sirupsen/logrus", nil, "log/slog is our logger"},
	{"log", []string{"podman/podmantest", "repos/repostest"}, "log/slog, injected, is our logger"},
	{"math/rand", nil, "randomness is crypto/rand, or math/rand/v2 for jitter"},
	{"io/ioutil", nil, "it is deprecated"},
	{"unsafe", nil, "nothing here needs it"},
}

func TestLibrariesHaveOneHome(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.fixture {
			continue
		}
		for _, imp := range f.imports() {
			for _, h := range homes {
				matches := imp.path == h.prefix || strings.HasSuffix(h.prefix, "/") && strings.HasPrefix(imp.path, h.prefix) ||
					h.prefix == "gopkg.in/yaml" && strings.HasPrefix(imp.path, h.prefix)
				if !matches {
					continue
				}
				if !slices.ContainsFunc(h.in, f.below) {
					t.Errorf("%s: %s may be imported in %v only: %s", f.at(imp.pos), imp.path, h.in, h.why)
				}
				break
			}
		}
	}
}

// purity says what a package must do without.
var purity = []struct {
	dir        string
	imports    []string // forbidden; "x/" forbids all below x
	others     bool     // libraries of others are forbidden too
	goroutines bool     // forbidden, except in files that begin with watch
	clock      bool     // forbidden, with the same exception
	watcher    []string // of imports, what files that begin with watch may have
	why        string
}{
	{
		dir:     "reconcile/plan",
		imports: []string{"os", "os/", "net", "net/http", "net/http/", "io/fs", "path/filepath", "context", "log/slog", "sync", "sync/", "math/rand/v2", "crypto/rand", "runtime", "syscall", "embed"},
		others:  true, goroutines: true, clock: true,
		why: "the planner is pure: the same input gives the same plan, byte for byte",
	},
	{
		dir:     "schedule",
		imports: []string{"os", "os/", "net", "net/http", "net/http/", "io/fs", "path/filepath", "context", "log/slog", "sync", "sync/", "math/rand/v2", "crypto/rand", "runtime", "syscall"},
		// It wraps a parser of others.
		goroutines: true, clock: true,
		why: "cron is pure: time is data",
	},
	{
		dir:     "schema",
		imports: []string{"net", "net/http", "net/http/", "os/exec", "os/signal", "log/slog", "math/rand/v2", "crypto/rand", "golang.org/x/sync/errgroup"},
		// Its caller bounds the work, and the time is no part of a format.
		goroutines: true, clock: true,
		why: "decoding has no effects and leaves nothing running",
	},
	{
		dir:     "workspace",
		imports: []string{"net", "net/http", "net/http/", "log/slog", "math/rand/v2", "crypto/rand", "golang.org/x/sync/errgroup"},
		// Only the watcher lives longer than a call.
		goroutines: true, clock: true, watcher: []string{"log/slog", "math/rand/v2"},
		why: "resolving is a function of files, commits and references",
	},
	{
		dir:     "helper",
		imports: []string{"os", "os/", "net", "net/http", "net/http/", "context", "log/slog", "sync"},
		others:  true, goroutines: true, clock: true,
		why: "it is messages, and nothing else",
	},
	{
		dir:     "render",
		imports: []string{"os", "os/", "net", "net/http", "net/http/", "io/fs", "path/filepath", "context", "log/slog", "sync", "sync/", "math/rand/v2", "crypto/rand", "runtime", "syscall", "golang.org/x/term"},
		// It draws differences with a library of others.
		goroutines: true, clock: true,
		why: "the same report gives the same bytes, wherever they go",
	},
	{
		dir:     "tree",
		imports: []string{"net", "net/http", "net/http/", "os/exec", "context", "log/slog"},
		others:  true, goroutines: true,
		why: "it is a leaf that hashes and copies",
	},
}

// clockFuncs read the clock or wait for it.
var clockFuncs = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

func TestPurity(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || f.fixture {
			continue
		}
		for _, p := range purity {
			if path.Dir(f.path) != p.dir {
				continue
			}
			watch := strings.HasPrefix(path.Base(f.path), "watch")
			for _, imp := range f.imports() {
				forbidden := slices.ContainsFunc(p.imports, func(s string) bool {
					return imp.path == s || strings.HasSuffix(s, "/") && strings.HasPrefix(imp.path, s)
				})
				if watch && slices.Contains(p.watcher, imp.path) {
					continue
				}
				first, _, _ := strings.Cut(imp.path, "/")
				other := p.others && strings.Contains(first, ".")
				if forbidden || other {
					t.Errorf("%s: %s may not import %s: %s", f.at(imp.pos), p.dir, imp.path, p.why)
				}
			}
			ast.Inspect(f.parse(t), func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					if p.goroutines && !watch {
						t.Errorf("%s: no goroutine in %s: %s", f.at(n.Pos()), p.dir, p.why)
					}
				case *ast.SelectorExpr:
					if x, ok := n.X.(*ast.Ident); ok && p.clock && !watch && x.Name == "time" && slices.Contains(clockFuncs, n.Sel.Name) {
						t.Errorf("%s: no time.%s in %s: %s", f.at(n.Pos()), n.Sel.Name, p.dir, p.why)
					}
				}
				return true
			})
		}
	}
}

// The executor may carry diagnostics, and nothing else of the formats.
func TestReconcileTakesOnlyDiagnosticsFromSchema(t *testing.T) {
	allowed := []string{"Diagnostic", "Severity", "Error", "Warning", "Pos"}
	for _, f := range sources(t) {
		if f.test || path.Dir(f.path) != "reconcile" {
			continue
		}
		ast.Inspect(f.parse(t), func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if ok && x.Name == "schema" && !slices.ContainsFunc(allowed, func(s string) bool { return strings.HasPrefix(sel.Sel.Name, s) }) {
				t.Errorf("%s: reconcile uses schema.%s; it may carry diagnostics only, since specs are the planner's data", f.at(sel.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}
