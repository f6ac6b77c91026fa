// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const forgeToken = "a-token-that-must-not-show"

func TestCommitReporter(t *testing.T) {
	var mu sync.Mutex
	var got []string
	forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:][:4]+" "+string(body))
		w.WriteHeader(http.StatusCreated)
	}))
	defer forge.Close()
	a := &app{std: stdio{err: new(strings.Builder)}, report: reportFlags{
		kind: "gitea", url: forge.URL + "/acme/infra.git", tokenFile: secretFile(t, forgeToken+"\n"), link: "https://ops.example.org",
	}}
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	// Each reporter is closed before the next thing is said, since of one commit
	// only the newest status is sent.
	pass := func(steps ...func(*commitReporter)) {
		t.Helper()
		c, err := a.newCommitReporter("acme", "file:///srv/git/acme.git")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			s(c)
		}
		c.close()
	}
	began := func(commit string) func(*commitReporter) {
		return func(c *commitReporter) { c.began(commit) }
	}
	ended := func(commit string, code int, text string) func(*commitReporter) {
		return func(c *commitReporter) { c.ended(commit, code, text) }
	}
	pass(began(one))
	pass(began(one), ended(one, plan.ExitDone, "1 change, 0 unchanged"))
	pass(ended(two, plan.ExitDone, "a"), ended(two, plan.ExitFault, "1 failed:\n\u202eit\x1b"), began(two), ended(two, plan.ExitFault, "the same again"))
	pass(began(""), began("no-commit+dirty"))

	tail := `,"target_url":"https://ops.example.org"}`
	want := []string{
		`1111 {"context":"reconcile/acme","description":"the pass has begun","state":"pending"` + tail,
		`1111 {"context":"reconcile/acme","description":"1 change, 0 unchanged","state":"success"` + tail,
		`2222 {"context":"reconcile/acme","description":"1 failed: \\u{202e}it\\u{1b}","state":"failure"` + tail,
	}
	// The first of two statuses in a row may have been sent before the second came.
	kept := got[:0]
	for _, g := range got {
		if len(kept) < len(want) && g == want[len(kept)] {
			kept = append(kept, g)
		}
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("posted (-want +got)\n%s\nall: %q", diff, got)
	}
}

// A newer commit that is refused is the one that failed, and not the one that
// goes on running.
func TestRefusedCommitIsReported(t *testing.T) {
	good, newer := strings.Repeat("a", 40), strings.Repeat("b", 40)
	refused := []plan.Reason{{Code: plan.CodePolicy, Text: "commit bbbb is refused: not signed", Origin: "url:1:1"}}
	loaded := reconcile.Loaded{
		Desired: plan.Desired{Revision: good}, Refused: refused, RefusedRevision: newer, Diagnostics: refusalDiagnostics(refused),
	}
	broken := loaded
	broken.Diagnostics = append(schema.Diagnostics{{Severity: schema.Error, Summary: "wrong", Pos: schema.ParsePos("a.yaml:1:1")}}, loaded.Diagnostics...)
	none := reconcile.Loaded{Fatal: true, Refused: refused, RefusedRevision: newer, Diagnostics: refusalDiagnostics(refused)}
	for name, c := range map[string]struct {
		loaded reconcile.Loaded
		want   []string
	}{
		"beside a good one":   {loaded, []string{"bbbb failure commit bbbb is refused: not signed", "aaaa success 0 changes, 0 unchanged"}},
		"beside a broken one": {broken, []string{"bbbb failure commit bbbb is refused: not signed", "aaaa failure failed, 0 changes, 0 unchanged: a.yaml:1:1: wrong"}},
		"alone":               {none, []string{"bbbb failure commit bbbb is refused: not signed"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			forge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var body struct{ State, Description string }
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
				got = append(got, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:][:4]+" "+body.State+" "+body.Description)
				w.WriteHeader(http.StatusCreated)
			}))
			defer forge.Close()
			a := &app{std: stdio{err: new(strings.Builder)}, report: reportFlags{kind: "gitea", url: forge.URL + "/o/r", tokenFile: secretFile(t, forgeToken)}}
			reporter, err := a.newCommitReporter("acme", "")
			if err != nil {
				t.Fatal(err)
			}
			res := reconcile.PassResult{}
			reporter.passed(endedPass{reconcile.RecordOf(res, c.loaded, nil, time.Now()), res, c.loaded})
			reporter.close()
			forge.Close()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("posted (-want +got)\n%s", diff)
			}
		})
	}
}

func TestNoCommitReporter(t *testing.T) {
	c, err := (&app{}).newCommitReporter("acme", "https://github.com/acme/infra")
	if c != nil || err != nil {
		t.Fatalf("got %v, %v", c, err)
	}
	c.began("x")
	c.ended("x", 0, "")
	c.close()
}

func TestReportFlags(t *testing.T) {
	token := secretFile(t, forgeToken)
	for name, c := range map[string]struct {
		flags reportFlags
		want  string
	}{
		"flags without --report": {reportFlags{link: "https://x"}, "--report-url, --report-token-file and --report-link need --report"},
		"an unknown forge":       {reportFlags{kind: "svn", tokenFile: token}, `--report: "svn" is not one of github, gitlab, gitea`},
		"no token":               {reportFlags{kind: "github"}, "--report needs --report-token-file"},
		"a local repository":     {reportFlags{kind: "github", tokenFile: token}, "--report: the repository is at no forge: its URL is neither https, http nor ssh; --report-url names the repository at the forge"},
		"no project":             {reportFlags{kind: "github", tokenFile: token, url: "https://github.com/acme"}, `--report: "acme" is no project of the form owner/name; --report-url names the repository at the forge`},
		"an empty token":         {reportFlags{kind: "github", tokenFile: secretFile(t, "\n"), url: "https://github.com/acme/infra"}, "--report: the token of the forge is empty or has characters that no token has"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{std: stdio{err: new(strings.Builder)}, report: c.flags}
			r, err := a.newCommitReporter("acme", "file:///srv/git/acme.git")
			r.close()
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
