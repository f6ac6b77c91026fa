// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/schema"
)

func TestMain(m *testing.M) {
	MaybeServeCUE()
	os.Exit(m.Run())
}

func cueRequest(files ...string) schema.EvalRequest {
	req := schema.EvalRequest{Files: map[string][]byte{}, Dirs: []string{"a", "b"}}
	for i := 0; i < len(files); i += 2 {
		req.Files[files[i]] = []byte(files[i+1])
	}
	return req
}

func diagnosticText(ds schema.Diagnostics) string {
	var b strings.Builder
	for _, d := range ds {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

func TestEvalCUE(t *testing.T) {
	t.Setenv("CUE_DEBUG", "opendef")
	t.Setenv("CUE_REGISTRY", "registry.example")
	req := cueRequest("a/x.cue", `package a
import "reconcile.dev/schema"
one: schema.#ConfigMap & {apiVersion: "v1", kind: "ConfigMap", metadata: name: "x"}
two: schema.#ConfigMap & {apiVersion: "v1", kind: "ConfigMap", metadata: name: "x", dta: {}}
`)
	resp, err := EvalCUE(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := `a/x.cue:4:85: error: invalid CUE
    two.dta: field not allowed
    hint: did you mean "data"?
`
	if diff := cmp.Diff(want, diagnosticText(resp.Diagnostics)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	here := schema.Eval(req)
	if diff := cmp.Diff(here, resp); diff != "" || len(resp.Objects) != 1 {
		t.Errorf("in this process and in its own (-want +got)\n%s", diff)
	}
}

func TestEvalCUENothing(t *testing.T) {
	resp, err := EvalCUE(t.Context(), schema.EvalRequest{})
	if err != nil || len(resp.Objects)+len(resp.Diagnostics) > 0 {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestEvalCUELimits(t *testing.T) {
	good := `package a
x: {apiVersion: "v1", kind: "ConfigMap"}
`
	tests := []struct {
		name, bad string
		limits    CUELimits
		want      string
	}{
		{
			name: "time",
			bad: `package b
import "list"
apiVersion: "v1"
x: [for a in list.Range(0, 100000, 1) for b in list.Range(0, 100000, 1) if a*b < 0 {a}]
`,
			limits: CUELimits{Time: 2 * time.Second},
			want: `b/y.cue:1:1: error: cue evaluation took too long
    the package was still being evaluated after 2s, so it was given up
    hint: look for comprehensions over large or endless lists
`,
		},
		{
			name: "memory",
			bad: `package b
import "strings"
apiVersion: "v1"
a: strings.Repeat("0123456789", 1000000)
b: a+a+a+a+a+a+a+a+a+a+a+a+a+a+a+a
c: b+b+b+b+b+b+b+b+b+b+b+b+b+b+b+b
`,
			limits: CUELimits{Time: time.Minute, Memory: 512 << 20},
			want: `b/y.cue:1:1: error: cue evaluation needs too much memory
    evaluating the package takes more than 512 MiB of memory, so it was given up
    hint: look for repeated text or lists, and for comprehensions that multiply
`,
		},
		{
			name: "output",
			bad: `package b
import "strings"
x: {apiVersion: "v1", kind: "ConfigMap", data: a: strings.Repeat("0123456789", 1000000)}
`,
			limits: CUELimits{Time: time.Minute, Output: 1 << 20},
			want: `b/y.cue:1:1: error: cue evaluation needs too much memory
    the result is larger than 1 MiB
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := tt.limits.Eval(t.Context(), cueRequest("a/x.cue", good, "b/y.cue", tt.bad))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, diagnosticText(resp.Diagnostics)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEvalCUECancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := EvalCUE(ctx, cueRequest("a/x.cue", `package a
import "list"
apiVersion: "v1"
x: [for a in list.Range(0, 100000, 1) for b in list.Range(0, 100000, 1) if a*b < 0 {a}]
`))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// What is not in the request cannot be read, however it is named.
func TestEvalCUEStaysInside(t *testing.T) {
	req := cueRequest("a/x.cue", `@extern(embed)
package a
c: {apiVersion: "v1", kind: "ConfigMap"}
abs: _ @embed(file="/etc/hostname", type=text)
up:  _ @embed(file="../../../../etc/hostname", type=text)
own: _ @embed(file="hostname", type=text)
`, "b/y.cue", `package b
import "example.org/none"
c: {apiVersion: "v1", kind: none.K}
`)
	resp, err := EvalCUE(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := `a/x.cue:4:8: error: invalid CUE
    @embed: only relative files are allowed
a/x.cue:5:8: error: invalid CUE
    @embed: cannot refer to parent directory
a/x.cue:6:8: error: invalid CUE
    @embed: open hostname: no such file or directory
b/y.cue:2:8: error: unknown import
    there is no package "example.org/none" here; modules are not fetched
    hint: packages of the workspace's own module, "reconcile.dev/schema" and CUE's standard library can be imported
`
	if diff := cmp.Diff(want, diagnosticText(resp.Diagnostics)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCUEChildEnds(t *testing.T) {
	tests := []struct {
		name   string
		end    cueEnd
		want   string // summary
		detail string // its start
	}{
		{"panic", cueEnd{stderr: []byte("evaluating a/x.cue\npanic: runtime error: index out of range\n\ngoroutine 1\n")}, summaryCUECrashed, "the evaluator ended without a result: panic: runtime error: index out of range"},
		{"recursion", cueEnd{stderr: []byte("runtime: goroutine stack exceeds 268435456-byte limit\n")}, summaryCUEMemory, "evaluating the package takes more than 2 MiB"},
		{"late and out of memory", cueEnd{late: true, stderr: []byte("fatal error: runtime: out of memory\n")}, summaryCUETime, "the package was still being evaluated after 1s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d schema.Diagnostic
			CUELimits{Time: time.Second, Memory: 2 << 20}.explain(&d, tt.end)
			if d.Summary != tt.want || !strings.HasPrefix(d.Detail, tt.detail) {
				t.Errorf("got %q, %q", d.Summary, d.Detail)
			}
		})
	}
}

func TestLastEvaluated(t *testing.T) {
	req := cueRequest("a/x.cue", "", "b/y.cue", "", "lib/l.cue", "")
	for stderr, want := range map[string]string{
		"": "a/x.cue",
		"evaluating a/x.cue\nevaluating b/y.cue\nfatal error\n": "b/y.cue",
	} {
		if got := lastEvaluated(req, []byte(stderr)); got != want {
			t.Errorf("%q: got %q, want %q", stderr, got, want)
		}
	}
}
