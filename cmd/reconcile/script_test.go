// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"reconcile/hooks"
	"reconcile/podman/podmantest"
	"reconcile/workspace"
)

// TestMain is also the reconcile that the scripts run: the test binary under
// that name.
func TestMain(m *testing.M) {
	workspace.MaybeServeCUE()
	hooks.MaybeServe()
	if filepath.Base(os.Args[0]) == "reconcile" {
		main()
	}
	// Scripts mostly wait for Podman, so more of them than cores at a time.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	podmantest.Main(m)
}

// TestScript runs testdata/script/*.txtar: the command line as a user has it,
// on real Podman. What every run of reconcile in them must keep is checked for
// each, see [checkRun].
func TestScript(t *testing.T) {
	standIns(t)
	runScripts(t, testscript.Params{Dir: "../../testdata/script"})
}

// TestScriptAlone runs scripts that look at all of Podman, which the others
// would disturb.
func TestScriptAlone(t *testing.T) {
	runScripts(t, testscript.Params{Dir: "../../testdata/script/alone"})
}

// runScripts runs the scripts that p names.
func runScripts(t *testing.T, p testscript.Params) {
	socket := podmantest.Socket(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "reconcile")); err != nil {
		t.Fatal(err)
	}
	for name, opt := range map[string]podmantest.ImageOptions{
		"shell": {Busybox: true},
		"tool":  {},
		"entry": {Changes: []string{`ENTRYPOINT ["/bin/tool"]`, `CMD ["exit","9"]`}},
		"empty": {NoTool: true},
		"user":  {Busybox: true, Changes: []string{"USER 1234:4321"}},
	} {
		podmantest.Image(t, "test/"+name, opt)
	}
	p.RequireExplicitExec = true
	p.RequireUniqueNames = true
	p.UpdateScripts = os.Getenv("RECONCILE_UPDATE") != ""
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
		env.Setenv("CONTAINER_HOST", socket)
		env.Setenv("RECONCILE_STATE_DIR", filepath.Join(env.WorkDir, ".state"))
		env.Setenv("NO_COLOR", "1")
		env.Setenv("EXAMPLES", examples)
		for _, v := range []string{"CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "PODMAN_IGNORE_CGROUPSV1_WARNING"} {
			env.Setenv(v, os.Getenv(v))
		}
		s := &script{t: t, work: env.WorkDir}
		env.Values[scriptKey{}] = s
		env.Defer(s.removeAll)
		return nil
	}
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"await":     awaitCmd,
		"canary":    canaryCmd,
		"code":      codeCmd,
		"foreign":   foreignCmd,
		"deliver":   deliverCmd,
		"forge":     forgeCmd,
		"http":      httpCmd,
		"git":       gitCmd,
		"gitserver": gitserverCmd,
		"image":     imageCmd,
		"inside":    insideCmd,
		"inspect":   inspectCmd,
		"json":      jsonCmd,
		"leaks":     leaksCmd,
		"ours":      oursCmd,
		"listen":    listenCmd,
		"looked":    lookedCmd,
		"push":      pushCmd,
		"registry":  registryCmd,
		"seal":      sealCmd,
		"send":      sendCmd,
		"secret":    secretCmd,
		"signal":    signalCmd,
		"snapshot":  snapshotCmd,
		"sshd":      sshdCmd,
		"stall":     stallCmd,
		"systemd":   systemdCmd,
		"tmpfs":     tmpfsCmd,
		"webhook":   webhookCmd,
	}
	testscript.Run(t, p)
}
