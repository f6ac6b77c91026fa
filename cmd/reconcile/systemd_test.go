// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const unitFile = "../../examples/systemd/reconcile.service"

// readUnit returns the settings of a unit by "Section.Name".
func readUnit(t *testing.T, src string) map[string]string {
	t.Helper()
	unit, section := map[string]string{}, ""
	for i, line := range strings.Split(src, "\n") {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("line %d is no setting: %q", i+1, line)
		default:
			name = section + "." + name
			if _, twice := unit[name]; twice {
				t.Errorf("line %d: %s is set twice", i+1, name)
			}
			unit[name] = value
		}
	}
	return unit
}

// The unit runs a command that there is, and fits what the daemon does.
func TestSystemdUnit(t *testing.T) {
	src, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	unit := readUnit(t, string(src))
	words := strings.Fields(unit["Service.ExecStart"])
	if len(words) < 3 || filepath.Base(words[0]) != "reconcile" || words[1] != "watch" {
		t.Fatalf("ExecStart=%s", unit["Service.ExecStart"])
	}
	checkCommand(t, newRootCommand(&app{}), words[1:])
	dir := words[len(words)-1]
	for name, want := range map[string]string{
		"Service.Type":                     "notify",                  // READY=1 after the first pass
		"Service.NotifyAccess":             "main",                    // nothing that it starts speaks for it
		"Service.ExecReload":               "/bin/kill -HUP $MAINPID", // look now
		"Service.KillMode":                 "process",                 // agents go on
		"Service.KillSignal":               "SIGTERM",
		"Service.Restart":                  "on-failure",
		"Service.StateDirectory":           "reconcile", // what root's state directory is called below /var/lib
		"Service.RuntimeDirectory":         "reconcile",
		"Service.RuntimeDirectoryPreserve": "yes", // a daemon that crashed finds its socket
		"Unit.StartLimitIntervalSec":       "0",
		"Install.WantedBy":                 "multi-user.target",
	} {
		if got := unit[name]; got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"Service.WatchdogSec", "Service.TimeoutStartSec", "Service.TimeoutStopSec"} {
		if unit[name] == "" {
			t.Errorf("%s is not set", name)
		}
	}
	if writes := strings.Fields(unit["Service.ReadWritePaths"]); len(writes) == 0 || writes[0] != dir {
		t.Errorf("ReadWritePaths=%s does not begin with the workspace %s", unit["Service.ReadWritePaths"], dir)
	}
	if !strings.Contains(unit["Unit.After"], "podman.socket") || !strings.Contains(unit["Unit.Wants"], "podman.socket") {
		t.Error("the unit does not ask for Podman's socket")
	}
}

// systemd takes the unit without a word, where there is a systemd to ask.
func TestSystemdVerifiesUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	src, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "reconcile.service")
	text := strings.Replace(string(src), "ExecStart=/usr/local/bin/reconcile ", "ExecStart="+self+" ", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
