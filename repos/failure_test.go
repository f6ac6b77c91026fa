// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"reconcile/repos/repostest"
)

// What a server does wrong is told apart, does not cost the last good copy, and
// passes when the server is well again.
func TestFetchFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fault   repostest.Fault
		kind    error
		text    string
		tries   int  // requests that the first listing costs, with two retries
		perhaps bool // the number of requests is not certain
	}{
		{name: "401", fault: repostest.Fault{Status: 401}, kind: ErrAuth, text: "credentials are wanted (no credentials file is configured)", tries: 1},
		{name: "403", fault: repostest.Fault{Status: 403}, kind: ErrAuth, text: "access is forbidden", tries: 1},
		{name: "404", fault: repostest.Fault{Status: 404}, kind: ErrNotFound, text: "repository not found (or not for us)", tries: 1},
		{name: "500", fault: repostest.Fault{Status: 500}, text: "the server answered 500 Internal Server Error", tries: 3},
		{name: "503", fault: repostest.Fault{Status: 503}, text: "the server answered 503 Service Unavailable", tries: 3},
		{name: "418", fault: repostest.Fault{Status: 418}, text: "the server answered 418", tries: 1},
		{name: "web page", fault: repostest.Fault{HTML: true}, kind: ErrNotFound, text: "the answer is not one of a git server", tries: 1},
		{name: "web page that says no", fault: repostest.Fault{HTML: true, Status: 404}, kind: ErrNotFound, tries: 1},
		{name: "stall", fault: repostest.Fault{Stall: true}, kind: context.DeadlineExceeded, text: "it took too long", tries: 1},
		{name: "truncate", fault: repostest.Fault{Truncate: 100}, text: "the answer broke off", tries: 6, perhaps: true},
		{name: "truncate in the pack", fault: repostest.Fault{Truncate: 3000}, tries: 6, perhaps: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := repostest.HTTP(t, repostest.HTTPOptions{})
			repo := srv.Repo(t, "a")
			big := map[string]string{}
			for i := range 50 {
				big[strings.Repeat("x", i+1)] = strings.Repeat(string(rune('a'+i%26)), i*7) + repo.Dir
			}
			first := repo.Commit(t, repostest.Commit{Files: big})
			o := StoreOptions{}
			if tt.fault.Stall {
				o.Timeout = 500 * time.Millisecond
			}
			s := newStore(t, o)
			src := Source{URL: repo.URL}
			broken := func(what, commit string) {
				t.Helper()
				srv.Break(tt.fault)
				srv.Requests()
				got := fetch(t, s, src)
				if got.Commit != commit || got.Err == nil || tt.kind != nil && !errors.Is(got.Err, tt.kind) || !strings.Contains(got.Err.Error(), tt.text) {
					t.Errorf("%s: %q, %v", what, got.Commit, got.Err)
				}
				if n := len(srv.Requests()); n != tt.tries && !tt.perhaps {
					t.Errorf("%s: %d requests, want %d", what, n, tt.tries)
				}
				if !strings.HasPrefix(got.Err.Error(), repo.URL+": ") || strings.ContainsAny(got.Err.Error(), "\n\x1b") {
					t.Errorf("%s: message %q", what, got.Err)
				}
				srv.Break(repostest.Fault{})
			}
			broken("first", "")
			well := newStore(t, StoreOptions{Dir: s.opt.Dir})
			wantCommit(t, "well again", fetch(t, well, src), first, nil)
			second := repo.Commit(t, repostest.Commit{Files: map[string]string{"new": strings.Repeat("random", 5000) + repo.Dir}})
			broken("later", first)
			wantCommit(t, "well again", fetch(t, well, src), second, nil)
			if got := content(t, s, src, second, "x"); !strings.Contains(got, repo.Dir) {
				t.Errorf("x is %q", got)
			}
		})
	}
}

// An error that passes is gone after the next try.
func TestFetchTriesAgain(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	srv.Break(repostest.Fault{Status: 502, Times: 2})
	wantCommit(t, "third time", fetch(t, newStore(t, StoreOptions{}), Source{URL: repo.URL}), first, nil)
	srv.Break(repostest.Fault{Status: 502, Times: 1})
	if got := fetch(t, newStore(t, StoreOptions{Retries: -1}), Source{URL: repo.URL}); got.Err == nil {
		t.Error("without retries, it was tried again")
	}
}

func TestFetchNetworkErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	plain := repostest.HTTP(t, repostest.HTTPOptions{})
	tls := repostest.HTTP(t, repostest.HTTPOptions{TLS: true})
	s := newStore(t, StoreOptions{Retries: -1, Auth: Auth{KnownHosts: []string{"/nonexistent"}, LookupEnv: noEnv}})
	for _, tt := range []struct {
		url, text string
		kind      error
	}{
		{url: "http://" + nobody + "/a.git", text: "connection refused"},
		{url: "ssh://git@" + nobody + "/a.git", text: "connection refused"},
		{url: "https://host.invalid/a.git", text: "host.invalid"},
		{url: tls.URL + "/a.git", text: "the server's certificate is not accepted"},
		{url: "https" + strings.TrimPrefix(plain.URL, "http") + "/a.git", text: "HTTP"},
		{url: "file:///nonexistent/a.git", text: "there is no git repository", kind: ErrNotFound},
		{url: "ftp://example.org/a", kind: ErrURL, text: `unknown scheme "ftp"`},
		{url: "https://u:s3cret@example.org/a", kind: ErrURL, text: "credentials"},
	} {
		got := fetch(t, s, Source{URL: tt.url})
		if got.Err == nil || !strings.Contains(got.Err.Error(), tt.text) || tt.kind != nil && !errors.Is(got.Err, tt.kind) {
			t.Errorf("%s: %v", tt.url, got.Err)
			continue
		}
		if strings.Contains(got.Err.Error(), "s3cret") {
			t.Errorf("%s: %v", tt.url, got.Err)
		}
	}
}

func noEnv(string) (string, bool) { return "", false }

// A pack has a limit over every transport.
func TestFetchTooLarge(t *testing.T) {
	t.Parallel()
	web := repostest.HTTP(t, repostest.HTTPOptions{})
	shell := repostest.SSH(t)
	for name, repo := range map[string]*repostest.Repo{"http": web.Repo(t, "a"), "ssh": shell.Repo(t, "a")} {
		t.Run(name, func(t *testing.T) {
			noise := make([]byte, 20000)
			if _, err := rand.Read(noise); err != nil {
				t.Fatal(err)
			}
			first := repo.Commit(t, repostest.Commit{Files: map[string]string{"a": "small\n"}})
			s := newStore(t, StoreOptions{MaxBytes: 4000, Auth: sshAuth(shell)})
			wantCommit(t, "small", fetch(t, s, Source{URL: repo.URL}), first, nil)
			repo.Commit(t, repostest.Commit{Files: map[string]string{"b": string(noise)}})
			wantCommit(t, "large", fetch(t, s, Source{URL: repo.URL}), first, ErrTooLarge)
		})
	}
}

// A context that ends ends everything, and is not held against the remote.
func TestFetchCanceled(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	shell := repostest.SSH(t)
	repo := srv.Repo(t, "a")
	repo.Commit(t, repostest.Commit{Files: files("a")})
	s := newStore(t, StoreOptions{Auth: sshAuth(shell)})
	srv.Break(repostest.Fault{Stall: true})
	shell.Stall(true)
	for _, url := range []string{repo.URL, shell.URL + "/a.git"} {
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(50*time.Millisecond, cancel)
		got := s.Fetch(ctx, []Source{{URL: url}})[0]
		stop.Stop()
		cancel()
		if !errors.Is(got.Err, context.Canceled) {
			t.Errorf("%s: %v", url, got.Err)
		}
		if seen := s.Look([]Source{{URL: url}})[0]; errors.Is(seen.Err, context.Canceled) || !errors.Is(seen.Err, ErrNotHere) {
			t.Errorf("%s: afterwards: %v", url, seen.Err)
		}
	}
	slow := newStore(t, StoreOptions{Timeout: 100 * time.Millisecond, Auth: sshAuth(shell)})
	wantCommit(t, "ssh that stalls", fetch(t, slow, Source{URL: shell.URL + "/a.git"}), "", context.DeadlineExceeded)
}

// What is kept from a failing server is not in the way of others.
func TestFetchManyAtOnce(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	stalled := repostest.HTTP(t, repostest.HTTPOptions{})
	stalled.Break(repostest.Fault{Stall: true})
	var sources []Source
	var want []string
	for i := range 20 {
		repo := srv.Repo(t, "r"+string(rune('a'+i)))
		want = append(want, repo.Commit(t, repostest.Commit{Files: files("a", repo.Dir[1:])}))
		sources = append(sources, Source{URL: repo.URL, Ref: "main"})
	}
	sources = append(sources, Source{URL: stalled.URL + "/x.git"}, Source{URL: filepath.Join(srv.Root, "ra.git")})
	want = append(want, "", want[0])
	s := newStore(t, StoreOptions{Timeout: 4 * time.Second})
	for i, got := range s.Fetch(t.Context(), sources) {
		if got.Commit != want[i] || (got.Err != nil) != (want[i] == "") {
			t.Errorf("%s: %q, %v", sources[i].URL, got.Commit, got.Err)
		}
	}
	srv.Requests()
	stalled.Break(repostest.Fault{Status: 500})
	for i, got := range s.Fetch(t.Context(), sources) {
		if got.Commit != want[i] {
			t.Errorf("again: %s: %q, %v", sources[i].URL, got.Commit, got.Err)
		}
	}
	if n := len(srv.Requests()); n != 20 {
		t.Errorf("20 repositories that have not moved cost %d requests", n)
	}
}

// Nothing goes on running, however a fetch ends.
func TestFetchLeavesNothingRunning(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	shell := repostest.SSH(t)
	web, ssh := srv.Repo(t, "a"), shell.Repo(t, "a")
	for _, repo := range []*repostest.Repo{web, ssh} {
		repo.Commit(t, repostest.Commit{Files: map[string]string{"a": strings.Repeat("a", 10000) + repo.Dir}})
	}
	sources := []Source{{URL: web.URL}, {URL: ssh.URL}, {URL: ssh.URL + "x"}}
	before := goleak.IgnoreCurrent()
	for _, f := range []repostest.Fault{{Truncate: 200}, {Stall: true}, {}} {
		srv.Break(f)
		shell.Stall(f.Stall)
		s := newStore(t, StoreOptions{Timeout: 2 * time.Second, Auth: sshAuth(shell)})
		s.Fetch(t.Context(), sources)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	srv.Break(repostest.Fault{})
	goleak.VerifyNone(t, before,
		goleak.IgnoreAnyFunction("reconcile/repos/repostest.(*SSHServer).accept.func1"), // an sshd that ends in its own time
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"),
		goleak.IgnoreAnyFunction("os/exec.(*Cmd).watchCtx"))
}
