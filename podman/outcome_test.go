// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// A run can put anything where its outcome is read.
func TestReadOutcome(t *testing.T) {
	at := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)
	write := func(text string) func(string) error {
		return func(path string) error {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return err
			}
			return os.Chtimes(path, at, at)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"code":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		make func(path string) error
		want *plan.Outcome
	}{
		"whole":      {write(`{"code":3,"finished":"2026-11-21T17:59:00Z"}`), &plan.Outcome{Code: 3, Finished: at.Add(-time.Minute)}},
		"timeout":    {write(`{"code":124,"timeout":true,"finished":"2026-11-21T17:59:00Z"}`), &plan.Outcome{Code: 124, Timeout: true, Finished: at.Add(-time.Minute)}},
		"no time":    {write(`{"code":0}`), &plan.Outcome{Finished: at}},
		"future":     {write(`{"code":0,"finished":"9999-11-21T17:59:00Z"}`), &plan.Outcome{Finished: at}},
		"missing":    {func(string) error { return nil }, nil},
		"empty":      {write(""), nil},
		"no JSON":    {write("boom"), nil},
		"odd code":   {write(`{"code":-1}`), nil},
		"large code": {write(`{"code":256}`), nil},
		"large":      {write(`{"code":0}` + strings.Repeat(" ", maxOutcome)), nil},
		"link":       {func(path string) error { return os.Symlink(secret, path) }, nil},
		"folder":     {func(path string) error { return os.Mkdir(path, 0o755) }, nil},
		"pipe":       {func(path string) error { return syscall.Mkfifo(path, 0o600) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outcome.json")
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			got := readOutcome(path)
			if got != nil {
				got.Finished = got.Finished.UTC()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
