// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// taskMDIn resolves the workspace in dir, of which nothing is to be said, and
// returns task.md of its only Task; nil = there is none.
func taskMDIn(ctx context.Context, dir string) ([]byte, error) {
	tree, ds, err := Load(ctx, Options{Dir: dir, Name: "acme", StateDir: "/state"})
	if err != nil {
		return nil, err
	}
	res := tree.Resolve()
	if all := append(ds, res.Diagnostics...); len(all) > 0 {
		return nil, fmt.Errorf("%d diagnostics: %v", len(all), all)
	}
	for _, r := range res.Desired.Resources {
		if r.ID.Kind != plan.Task {
			continue
		}
		for _, m := range r.Spec.Container.Mounts {
			for _, f := range m.Files {
				if m.Target == "/workspace" && f.Path == taskFile {
					return res.Desired.Contents[f.Digest], nil
				}
			}
		}
	}
	return nil, nil
}

// TestTaskMD holds task.md of each testdata/taskmd/NAME.yaml to NAME.md, byte for
// byte; where there is no such file there is no task.md.
func TestTaskMD(t *testing.T) {
	files, err := filepath.Glob("testdata/taskmd/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "task.yaml"), src, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := taskMDIn(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".md"
			if *update && got != nil {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil && !isNotExist(err) {
				t.Fatal(err)
			}
			if (want == nil) != (got == nil) || !bytes.Equal(got, want) {
				t.Errorf("task.md (-want +got):\n%s", cmp.Diff(fmt.Sprintf("%q", want), fmt.Sprintf("%q", got)))
			}
		})
	}
}

// TestTaskMDLarge has 5 MB of content, which is not looked at again on its way.
func TestTaskMDLarge(t *testing.T) {
	const line = "0123456789 äöü </context> <b>&amp;</b>\r"
	content := strings.Repeat(line, 5<<20/len(line))
	var b bytes.Buffer
	b.WriteString("apiVersion: kubetask.io/v1alpha1\nkind: Agent\nmetadata: {name: default}\nspec: {agentImage: alpine}\n---\n")
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: large}\nfiles: {text: ./large.txt}\n---\n")
	b.WriteString("apiVersion: kubetask.io/v1alpha1\nkind: Task\nmetadata: {name: large}\nspec:\n  description: Read.\n  contexts: [{name: all, type: ConfigMap, configMap: {name: large, key: text}}]\n")
	dir := t.TempDir()
	for name, data := range map[string][]byte{"task.yaml": b.Bytes(), "large.txt": []byte(content)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, ds, err := Load(t.Context(), Options{Dir: dir, Name: "acme", StateDir: "/state"})
	if err != nil || len(ds) > 0 {
		t.Fatal(err, ds)
	}
	want := "Read.\n\n<context name=\"all\" namespace=\"default\" type=\"ConfigMap\">\n" + content + "\n</context>"
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(want)))
	if got := tree.Resolve().Desired.Contents[digest]; string(got) != want {
		t.Errorf("there are %d bytes under the digest of task.md, want %d", len(got), len(want))
	}
}

func TestTaskMDAttributes(t *testing.T) {
	for _, name := range []string{`a"b`, "a<b", "a>b", "a&b", "a\nb", "a\x00b", `a\b`} {
		for _, part := range []taskPart{{name: name}, {namespace: name}, {typ: schema.ContextType(name)}} {
			if md, err := taskMD("x", []taskPart{part}); err == nil {
				t.Errorf("taskMD with %q = %q, want an error", name, md)
			}
		}
	}
}
