// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/rogpeppe/go-internal/testscript"

	"reconcile/podman/podmantest"
	"reconcile/workspace"
)

// TestMain is also the reconcile that the scripts run: the test binary under
// that name.
func TestMain(m *testing.M) {
	workspace.MaybeServeCUE()
	if filepath.Base(os.Args[0]) == "reconcile" {
		main()
	}
	podmantest.Main(m)
}

// TestScript runs testdata/script/*.txtar: the command line as a user has it,
// on real Podman.
func TestScript(t *testing.T) {
	socket := podmantest.Socket(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "reconcile")); err != nil {
		t.Fatal(err)
	}
	images := map[string]podmantest.ImageOptions{
		"shell": {Busybox: true},
		"tool":  {},
		"entry": {Changes: []string{`ENTRYPOINT ["/bin/tool"]`, `CMD ["exit","9"]`}},
		"empty": {NoTool: true},
	}
	for name, opt := range images {
		podmantest.Image(t, "test/"+name, opt)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("RECONCILE_UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("CONTAINER_HOST", socket)
			env.Setenv("RECONCILE_STATE_DIR", filepath.Join(env.WorkDir, ".state"))
			env.Setenv("NO_COLOR", "1")
			for _, v := range []string{"CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "PODMAN_IGNORE_CGROUPSV1_WARNING"} {
				env.Setenv(v, os.Getenv(v))
			}
			env.Defer(func() { removeAll(t, env.WorkDir) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    codeCmd,
			"foreign": foreignCmd(t),
		},
	})
}

// removeAll takes away what a script left behind: everything whose workspace
// is below dir.
func removeAll(t *testing.T, dir string) {
	conn := podmantest.Conn(t)
	below := func(labels map[string]string) bool {
		return strings.HasPrefix(labels["reconcile.root"], dir) || labels["test.dir"] == dir
	}
	cs, err := containers.List(conn, new(containers.ListOptions).WithAll(true))
	if err != nil {
		t.Errorf("clean up: %v", err)
	}
	for _, c := range cs {
		if below(c.Labels) {
			if _, err := containers.Remove(conn, c.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0)); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	}
	ns, err := network.List(conn, nil)
	if err != nil {
		t.Errorf("clean up: %v", err)
	}
	for _, n := range ns {
		if below(n.Labels) {
			if _, err := network.Remove(conn, n.Name, nil); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	}
	ss, err := secrets.List(conn, nil)
	if err != nil {
		t.Errorf("clean up: %v", err)
	}
	for _, s := range ss {
		if below(s.Spec.Labels) {
			if err := secrets.Remove(conn, s.ID); err != nil {
				t.Errorf("clean up: %v", err)
			}
		}
	}
}

// codeCmd runs a command and checks its exit code: code N reconcile ARGS…
func codeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &got); scanErr != nil {
			ts.Fatalf("%v", err)
		}
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// foreignCmd makes a container that is not ours: foreign NAME
func foreignCmd(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: foreign NAME")
		}
		s := specgen.NewSpecGenerator("localhost/test/tool:latest", false)
		s.Name = args[0]
		s.Labels = map[string]string{"test.dir": ts.Getenv("WORK")}
		s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
		if _, err := containers.CreateWithSpec(podmantest.Conn(t), s, nil); err != nil {
			ts.Fatalf("%v", err)
		}
		if err := containers.Start(podmantest.Conn(t), args[0], nil); err != nil {
			ts.Fatalf("%v", err)
		}
	}
}
