// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
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
	pass(ended(two, plan.ExitDone, "a"), ended(two, plan.ExitFault, "1 failed"), began(two), ended(two, plan.ExitFault, "the same again"))
	pass(began(""), began("no-commit+dirty"))

	tail := `,"target_url":"https://ops.example.org"}`
	want := []string{
		`1111 {"context":"reconcile/acme","description":"the pass has begun","state":"pending"` + tail,
		`1111 {"context":"reconcile/acme","description":"1 change, 0 unchanged","state":"success"` + tail,
		`2222 {"context":"reconcile/acme","description":"1 failed","state":"failure"` + tail,
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
