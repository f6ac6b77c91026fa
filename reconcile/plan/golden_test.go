// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"reconcile/reconcile/plan"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// TestGolden makes the plan of each file in testdata/plan. Its last line says
// what a dry run and an apply exit with.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenes: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range ar.Files {
				parts[f.Name] = string(f.Data)
			}
			s := parseScene(t, parts["desired"], parts["observed"], parts["options"])
			p := plan.New(s.desired, s.observed, s.options)
			got := fmt.Sprintf("%s\nexit %d as a dry run, %d applied\n", p, p.ExitCode(true), p.ExitCode(false))
			if *update {
				rewrite(t, file, ar, got)
				return
			}
			if diff := cmp.Diff(parts["plan"], got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func rewrite(t *testing.T, file string, ar *txtar.Archive, got string) {
	t.Helper()
	for i := range ar.Files {
		if ar.Files[i].Name == "plan" {
			ar.Files = append(ar.Files[:i], ar.Files[i+1:]...)
			break
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: "plan", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}
