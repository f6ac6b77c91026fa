// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const testToken = "t0ken-that-must-not-show"

// request is what a forge saw.
type request struct {
	Line   string // method and path as sent
	Header map[string]string
	Body   string
}

// forgeServer answers each request by answer and keeps it.
type forgeServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

func newForge(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *forgeServer {
	t.Helper()
	f := &forgeServer{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen := request{Line: r.Method + " " + r.RequestURI, Header: map[string]string{}, Body: string(body)}
		for k, v := range r.Header {
			if k != "Accept-Encoding" && k != "Content-Length" {
				seen.Header[k] = strings.Join(v, ", ")
			}
		}
		f.mu.Lock()
		f.requests = append(f.requests, seen)
		n := len(f.requests)
		f.mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func created(_ int, w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, `{"id":1}`)
}

func newReporter(t *testing.T, o ReporterOptions) (*Reporter, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	o.Token = testToken
	if o.Context == "" {
		o.Context = "reconcile/acme"
	}
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	r, err := NewReporter(o)
	if err != nil {
		t.Fatal(err)
	}
	return r, &log
}

func closeReporter(t *testing.T, r *Reporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r.Close(ctx)
}

func TestRequestShapes(t *testing.T) {
	long := strings.Repeat("wörds ", 60)
	for name, c := range map[string]struct {
		kind    Kind
		api     string // behind the server's address
		project string
		link    string
		status  Status
		want    request
	}{
		"github": {
			kind: GitHub, project: "acme/infra", link: "https://ops.example.org/acme",
			status: Status{commitA, Pending, "the pass has begun"},
			want: request{
				Line: "POST /repos/acme/infra/statuses/" + commitA,
				Header: map[string]string{
					"Accept": "application/vnd.github+json", "Authorization": "Bearer " + testToken,
					"Content-Type": "application/json", "User-Agent": "reconcile", "X-Github-Api-Version": "2022-11-28",
				},
				Body: `{"context":"reconcile/acme","description":"the pass has begun","state":"pending","target_url":"https://ops.example.org/acme"}`,
			},
		},
		"github enterprise, a failure with a long text": {
			kind: GitHub, api: "/api/v3", project: "acme/infra",
			status: Status{commitA, Failure, long},
			want: request{
				Line: "POST /api/v3/repos/acme/infra/statuses/" + commitA,
				Header: map[string]string{
					"Accept": "application/vnd.github+json", "Authorization": "Bearer " + testToken,
					"Content-Type": "application/json", "User-Agent": "reconcile", "X-Github-Api-Version": "2022-11-28",
				},
				Body: `{"context":"reconcile/acme","description":"` + strings.Repeat("wörds ", 23) + `w…","state":"failure"}`,
			},
		},
		"gitlab": {
			kind: GitLab, api: "/api/v4", project: "group/sub/infra",
			status: Status{commitA, Failure, "1 change\nand more"},
			want: request{
				Line: "POST /api/v4/projects/group%2Fsub%2Finfra/statuses/" + commitA,
				Header: map[string]string{
					"Accept": "application/json", "Content-Type": "application/json",
					"Private-Token": testToken, "User-Agent": "reconcile",
				},
				Body: `{"description":"1 change and more","name":"reconcile/acme","state":"failed"}`,
			},
		},
		"gitea": {
			kind: Gitea, api: "/api/v1", project: "acme/infra", link: "https://ops.example.org",
			status: Status{commitA, Success, "1 change, 7 unchanged"},
			want: request{
				Line: "POST /api/v1/repos/acme/infra/statuses/" + commitA,
				Header: map[string]string{
					"Accept": "application/json", "Authorization": "token " + testToken,
					"Content-Type": "application/json", "User-Agent": "reconcile",
				},
				Body: `{"context":"reconcile/acme","description":"1 change, 7 unchanged","state":"success","target_url":"https://ops.example.org"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t, created)
			r, log := newReporter(t, ReporterOptions{Kind: c.kind, API: f.URL + c.api, Project: c.project, TargetURL: c.link})
			r.Report(c.status)
			closeReporter(t, r)
			if diff := cmp.Diff([]request{c.want}, f.requests); diff != "" {
				t.Errorf("requests (-want +got)\n%s", diff)
			}
			if log.Len() > 0 {
				t.Errorf("it logs %s", log)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := newForge(t, created)
	for name, c := range map[string]struct {
		answer   func(n int, w http.ResponseWriter, r *http.Request)
		requests int
		log      string
	}{
		"a renamed repository": {
			answer: func(n int, w http.ResponseWriter, r *http.Request) {
				if n == 1 {
					w.Header().Set("Location", "/repos/acme/renamed/statuses/"+commitA)
					w.WriteHeader(http.StatusMovedPermanently)
					return
				}
				if r.Method != http.MethodPost || r.URL.Path != "/repos/acme/renamed/statuses/"+commitA {
					t.Errorf("got %s %s", r.Method, r.URL)
				}
				created(n, w, r)
			},
			requests: 2,
		},
		"to another host": {
			answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", elsewhere.URL+"/repos/acme/infra/statuses/"+commitA)
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
			requests: 1, log: "the forge redirects to another host, which is not followed",
		},
		"in circles": {
			answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/again")
				w.WriteHeader(http.StatusPermanentRedirect)
			},
			requests: maxRedirects + 1, log: "the forge redirects in circles",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t, c.answer)
			r, log := newReporter(t, ReporterOptions{Kind: GitHub, API: f.URL, Project: "acme/infra"})
			r.Report(Status{commitA, Success, "x"})
			closeReporter(t, r)
			if len(f.requests) != c.requests {
				t.Errorf("%d requests, want %d", len(f.requests), c.requests)
			}
			if !strings.Contains(log.String(), c.log) || c.log == "" && log.Len() > 0 {
				t.Errorf("it logs %q, want %q", log, c.log)
			}
		})
	}
	if len(elsewhere.requests) > 0 {
		t.Errorf("the other host was asked: %v", elsewhere.requests)
	}
}

// roundTripper is a forge without a network, for virtual time.
type roundTripper func(n int, r *http.Request) (*http.Response, error)

type counter struct {
	f  roundTripper
	mu sync.Mutex
	n  int
	at []time.Duration // since the first
	t0 time.Time
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	if c.n == 0 {
		c.t0 = time.Now()
	}
	c.n++
	n := c.n
	c.at = append(c.at, time.Since(c.t0))
	c.mu.Unlock()
	resp, err := c.f(n, r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func respond(code int, body string, h http.Header) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestRetries(t *testing.T) {
	always := func(code int, body string) roundTripper {
		return func(int, *http.Request) (*http.Response, error) { return respond(code, body, nil), nil }
	}
	for name, c := range map[string]struct {
		kind    Kind
		answer  roundTripper
		want    int
		log     string
		atLeast time.Duration
	}{
		"a refused token":           {GitHub, always(401, `{"message":"Bad credentials"}`), 1, "the forge answers 401 Unauthorized: Bad credentials", 0},
		"a forge that shows tokens": {GitHub, always(422, `{"message":"what is `+testToken+`"}`), 1, "what is [token]", 0},
		"no such commit":            {GitHub, always(422, `{"message":"No commit found for SHA"}`), 1, "No commit found for SHA", 0},
		"fields of gitlab":          {GitLab, always(400, `{"message":{"name":["is too long"]}}`), 1, `is too long`, 0},
		"gitlab has it already":     {GitLab, always(400, `{"message":"Cannot transition status via :enqueue from :pending"}`), 1, "", 0},
		"down":                      {Gitea, always(502, "<html>"), tries, "the forge answers 502 Bad Gateway", 7 * time.Second},
		"down for a moment": {Gitea, func(n int, r *http.Request) (*http.Response, error) {
			if n < 3 {
				return nil, errors.New("connection refused")
			}
			return respond(201, "{}", nil), nil
		}, 3, "", time.Second},
		"too many requests": {GitHub, func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return respond(403, `{"message":"secondary rate limit"}`, http.Header{"Retry-After": {"30"}}), nil
			}
			return respond(201, "{}", nil), nil
		}, 2, "", 30 * time.Second},
		"one that asks for too much patience": {GitHub, func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return respond(429, ``, http.Header{"Retry-After": {"86400"}}), nil
			}
			return respond(201, "{}", nil), nil
		}, 2, "", longestWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				transport := &counter{f: c.answer}
				r, log := newReporter(t, ReporterOptions{Kind: c.kind, API: "https://forge.test", Project: "acme/infra", Client: &http.Client{Transport: transport}})
				r.Report(Status{commitA, Success, "x"})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				r.Close(ctx)
				if transport.n != c.want {
					t.Errorf("%d requests, want %d", transport.n, c.want)
				}
				if took := transport.at[len(transport.at)-1]; took < c.atLeast || took > 3*longestWait {
					t.Errorf("it took %v, want at least %v", took, c.atLeast)
				}
				if !strings.Contains(log.String(), c.log) || c.log == "" && log.Len() > 0 {
					t.Errorf("it logs %q, want %q", log, c.log)
				}
				if strings.Contains(log.String(), testToken) {
					t.Errorf("the token shows: %s", log)
				}
			})
		})
	}
}

// Of each commit the newest status counts, and one that is new ends the tries
// for the one before.
func TestNewestStatusOfEachCommit(t *testing.T) {
	commitB := strings.Repeat("b", 40)
	synctest.Test(t, func(t *testing.T) {
		var got []string
		transport := &counter{f: func(n int, r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			state := strings.SplitN(string(body), `"state":"`, 2)[1]
			got = append(got, fmt.Sprintf("%.1s %s", r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], state[:strings.Index(state, `"`)]))
			if n == 1 {
				return respond(500, "", nil), nil
			}
			return respond(201, "", nil), nil
		}}
		r, _ := newReporter(t, ReporterOptions{Kind: GitHub, API: "https://forge.test", Project: "acme/infra", Client: &http.Client{Transport: transport}})
		r.Report(Status{commitA, Pending, "x"})
		synctest.Wait()
		r.Report(Status{commitB, Pending, "x"})
		r.Report(Status{commitA, Success, "x"})
		r.Report(Status{commitB, Failure, "x"})
		r.Report(Status{"abc+dirty", Failure, "is no commit"})
		closeReporter(t, r)
		r.Report(Status{commitB, Success, "after the end"})
		if diff := cmp.Diff([]string{"1 pending", "1 success", "b failure"}, got); diff != "" {
			t.Errorf("posted (-want +got)\n%s", diff)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &counter{f: func(int, *http.Request) (*http.Response, error) { return respond(201, "", nil), nil }}
		r, _ := newReporter(t, ReporterOptions{Kind: GitHub, API: "https://forge.test", Project: "acme/infra", Client: &http.Client{Transport: transport}})
		r.mu.Lock()
		for i := range 3 * maxQueued { // before the first can be posted
			r.mu.Unlock()
			r.Report(Status{fmt.Sprintf("%040x", i), Success, "x"})
			r.mu.Lock()
			if len(r.queue) > maxQueued {
				t.Fatalf("%d queued", len(r.queue))
			}
		}
		r.mu.Unlock()
		closeReporter(t, r)
	})
}

// A forge that never answers holds up nobody: Report returns at once, and Close
// when its time is over.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &counter{f: func(_ int, r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		r, _ := newReporter(t, ReporterOptions{Kind: GitHub, API: "https://forge.test", Project: "acme/infra", Client: &http.Client{Transport: transport}})
		begin := time.Now()
		r.Report(Status{commitA, Success, "x"})
		if d := time.Since(begin); d > 0 {
			t.Errorf("Report took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r.Close(ctx)
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("Close took %v", d)
		}
		r.Close(ctx) // a second time does no harm
	})
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := false
		transport := &counter{f: func(int, *http.Request) (*http.Response, error) {
			if good {
				return respond(201, "", nil), nil
			}
			return respond(401, "", nil), nil
		}}
		r, log := newReporter(t, ReporterOptions{Kind: GitHub, API: "https://forge.test", Project: "acme/infra", Client: &http.Client{Transport: transport}})
		report := func(n int) {
			r.Report(Status{fmt.Sprintf("%040x", n), Success, "x"})
			synctest.Wait()
		}
		report(1)
		report(2)
		if n := strings.Count(log.String(), "could not be posted"); n != 1 {
			t.Errorf("logged %d times", n)
		}
		good = true
		report(3)
		good = false
		report(4)
		if n := strings.Count(log.String(), "could not be posted"); n != 2 {
			t.Errorf("logged %d times after it had worked in between", n)
		}
		closeReporter(t, r)
	})
}

func TestBadReporterOptions(t *testing.T) {
	good := ReporterOptions{Kind: GitHub, API: "https://api.github.com", Project: "acme/infra", Token: testToken, Context: "c"}
	for name, c := range map[string]struct {
		change func(*ReporterOptions)
		want   string
	}{
		"kind":        {func(o *ReporterOptions) { o.Kind = "svn" }, `"svn" is no forge that is known: [github gitlab gitea]`},
		"scheme":      {func(o *ReporterOptions) { o.API = "ftp://x" }, "the URL of the forge's API is no http or https URL without credentials"},
		"credentials": {func(o *ReporterOptions) { o.API = "https://a:" + testToken + "@x" }, "the URL of the forge's API is no http or https URL without credentials"},
		"project":     {func(o *ReporterOptions) { o.Project = "../x" }, `"../x" is no project`},
		"no token":    {func(o *ReporterOptions) { o.Token = "" }, "the token of the forge is empty or has characters that no token has"},
		"two lines":   {func(o *ReporterOptions) { o.Token = "a\nb" }, "the token of the forge is empty or has characters that no token has"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			c.change(&o)
			_, err := NewReporter(o)
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		kind               Kind
		url                string
		api, project, fail string
	}{
		{GitHub, "https://github.com/acme/infra.git", "https://api.github.com", "acme/infra", ""},
		{GitHub, "git@github.com:acme/infra.git", "https://api.github.com", "acme/infra", ""},
		{GitHub, "https://GHE.example.org:8443/acme/infra", "https://ghe.example.org:8443/api/v3", "acme/infra", ""},
		{GitLab, "ssh://git@gitlab.example.org:2222/group/sub/infra.git", "https://gitlab.example.org/api/v4", "group/sub/infra", ""},
		{GitLab, "https://example.org/gitlab/api/v4/group/infra", "https://example.org/gitlab/api/v4", "group/infra", ""},
		{Gitea, "http://127.0.0.1:3000/acme/infra.git", "http://127.0.0.1:3000/api/v1", "acme/infra", ""},
		{Gitea, "http://127.0.0.1:3000/api/v1/acme/infra", "http://127.0.0.1:3000/api/v1", "acme/infra", ""},
		{Gitea, "https://example.org/a/b/c", "", "", `"a/b/c" is no project of the form owner/name`},
		{GitHub, "https://github.com/acme", "", "", `"acme" is no project of the form owner/name`},
		{GitHub, "file:///srv/git/acme.git", "", "", "the repository is at no forge: its URL is neither https, http nor ssh"},
		{GitHub, "/srv/git/acme.git", "", "", "the repository is at no forge: its URL is neither https, http nor ssh"},
		{GitHub, "https://user:" + testToken + "@github.com/acme/infra", "", "", "the URL of the repository holds credentials"},
		{GitHub, "https://user:" + testToken + "%zz@github.com/acme/infra", "", "", "the URL of the repository cannot be read"},
	} {
		api, project, err := Locate(c.kind, c.url)
		fail := ""
		if err != nil {
			fail = err.Error()
		}
		if api != c.api || project != c.project || fail != c.fail {
			t.Errorf("Locate(%s, %s) = %q, %q, %q; want %q, %q, %q", c.kind, c.url, api, project, fail, c.api, c.project, c.fail)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"short", "short"},
		{"exactly ten", "exactly t…"},
		{"a\n\tb\x00c", "a b\x00c"},
		{"äöüäöüäöüä", "äöüäöüäöüä"},
		{"äöüäöüäöüäö", "äöüäöüäöü…"},
	} {
		if got := shorten(c.in, 10); got != c.want {
			t.Errorf("shorten(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
