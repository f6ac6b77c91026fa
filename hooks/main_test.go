// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// starterVar makes the test program start the step in it, as a program that is
// killed in the middle of that.
const starterVar = "HOOKS_TEST_START"

func TestMain(m *testing.M) {
	MaybeServe()
	if text := os.Getenv(starterVar); text != "" {
		var in starterInput
		if err := json.Unmarshal([]byte(text), &in); err != nil {
			panic(err)
		}
		b := bed{dir: in.Dir}
		fmt.Println(b.runner().Run(context.Background(), in.Step, plan.Desired{}))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type starterInput struct {
	Dir  string
	Step plan.Step
}

// patience is how long tests wait before they give up; nothing depends on it.
const patience = time.Minute

var target = plan.ID{Kind: plan.Manifest, Name: "a"}

const (
	secretValue = "correct horse/battery?staple"
	secretRef   = "secret:password"
)

// bed is a folder with all that a runner needs.
type bed struct {
	dir   string
	limit int64
}

func newBed(t *testing.T) bed {
	t.Helper()
	b := bed{dir: t.TempDir()}
	if err := os.Mkdir(b.agent(), 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b bed) agent() string   { return filepath.Join(b.dir, "agent") }
func (b bed) results() string { return filepath.Join(b.dir, "data", "hooks") }
func (b bed) log() string     { return LogFile(filepath.Join(b.dir, "logs"), target, plan.HookPreinstall) }

func (b bed) runner() *Runner {
	return New(Options{
		Dir: b.results(), Logs: filepath.Join(b.dir, "logs"), Limit: b.limit,
		Secret: func(_ context.Context, ref string) (string, error) {
			if ref != secretRef {
				return "", errors.New("no such secret")
			}
			return secretValue, nil
		},
		LookupEnv: os.LookupEnv,
	})
}

func (b bed) step(commands ...string) plan.Step {
	return plan.Step{
		ID: "host:manifest/a", Op: plan.OpHost, Target: target,
		Hook: &plan.Hook{Name: plan.HookPreinstall, Commands: commands, Digest: "sha256:1", Dir: b.agent(), Timeout: patience},
	}
}

func (b bed) run(t *testing.T, commands ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return b.runner().Run(ctx, b.step(commands...), plan.Desired{})
}

// look returns the fact of the hook; the state "" when there is none.
func (b bed) look(t *testing.T) plan.HostHook {
	t.Helper()
	all, err := Look(b.results())
	if err != nil {
		t.Fatal(err)
	}
	return all[target]
}

func (b bed) output(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(b.log())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (b bed) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.agent(), name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// exists reports whether the agent's folder has the file.
func (b bed) exists(name string) bool {
	_, err := os.Stat(filepath.Join(b.agent(), name))
	return err == nil
}

// lives reports whether the process whose number is in the file lives.
func (b bed) lives(t *testing.T, name string) bool {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(b.file(t, name), &pid); err != nil {
		t.Fatal(err)
	}
	st, err := readStat(pid)
	return err == nil && !st.ended()
}
