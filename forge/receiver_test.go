// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	testSecret = "correct-horse-battery"
	commitA    = "1f0c7f3f1d3c4b5a69788796a5b4c3d2e1f00f1e"
	zeros      = "0000000000000000000000000000000000000000"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// endpoint is a receiver under test with what it was told.
type endpoint struct {
	handler http.Handler
	now     time.Time
	mu      sync.Mutex
	pushes  []Push
	log     sharedLog
}

// sharedLog is written to and read by several deliveries at once.
type sharedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *sharedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newEndpoint(t *testing.T, change func(*ReceiverOptions)) *endpoint {
	t.Helper()
	e := &endpoint{now: testNow}
	o := ReceiverOptions{
		Secret: func() ([]byte, error) { return []byte(testSecret), nil },
		Watch:  Watch{Ref: "main", Path: "/acme/infra.git"},
		Notify: func(p Push) { e.mu.Lock(); defer e.mu.Unlock(); e.pushes = append(e.pushes, p) },
		Now:    func() time.Time { return e.now },
		Log:    slog.New(slog.NewTextHandler(&e.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	e.handler = NewReceiver(o)
	return e
}

type header map[string]string

func (e *endpoint) deliver(t *testing.T, h header, body string) (int, answer) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for k, v := range h {
		r.Header.Set(k, v)
	}
	return e.do(t, r)
}

func (e *endpoint) do(t *testing.T, r *http.Request) (int, answer) {
	t.Helper()
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("the answer is no JSON: %v: %s", err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
	if strings.Contains(w.Body.String(), testSecret) || strings.Contains(e.log.String(), testSecret) {
		t.Errorf("the secret shows in %s or %s", w.Body, e.log.String())
	}
	return w.Code, a
}

func sign(key, body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

func standard(key []byte, id string, at time.Time, body string) header {
	stamp := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + stamp + "." + body))
	return header{
		"Webhook-Id": id, "Webhook-Timestamp": stamp,
		"Webhook-Signature": "v1,bm90IHRoaXM= v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)),
	}
}

func with(hs ...header) header {
	all := header{}
	for _, h := range hs {
		maps.Copy(all, h)
	}
	return all
}

const (
	githubBody  = `{"ref":"refs/heads/main","before":"` + zeros + `","after":"` + commitA + `","deleted":false,"repository":{"full_name":"acme/infra","default_branch":"main"},"pusher":{"name":"ada"}}`
	gitlabBody  = `{"object_kind":"push","event_name":"push","ref":"refs/heads/main","after":"` + commitA + `","project":{"path_with_namespace":"acme/infra","default_branch":"main"},"repository":{"name":"infra"}}`
	genericBody = `{"ref":"refs/heads/main"}`
)

func TestDeliveries(t *testing.T) {
	form := "payload=" + url.QueryEscape(githubBody)
	deleted := strings.NewReplacer(commitA, zeros, `"deleted":false`, `"deleted":true`).Replace(githubBody)
	otherBranch := strings.Replace(githubBody, "refs/heads/main", "refs/heads/feature", 1)
	otherRepo := strings.Replace(githubBody, "acme/infra", "acme/site", 1)
	whsec := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	system := strings.Replace(gitlabBody, `"object_kind":"push","event_name":"push"`, `"event_name":"push"`, 1)
	tag := strings.NewReplacer(`"push","event_name":"push"`, `"tag_push"`, "heads/main", "tags/v1").Replace(gitlabBody)

	for name, c := range map[string]struct {
		change func(*ReceiverOptions)
		header header
		body   string
		code   int
		answer answer
		push   *Push
	}{
		"github": {
			header: header{"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": "sha256=" + sign(testSecret, githubBody)},
			body:   githubBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"github", "refs/heads/main", commitA},
		},
		"github as a form": {
			header: header{"X-GitHub-Event": "push", "Content-Type": "application/x-www-form-urlencoded", "X-Hub-Signature-256": "sha256=" + sign(testSecret, form)},
			body:   form, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"github", "refs/heads/main", commitA},
		},
		"github ping": {
			header: header{"X-GitHub-Event": "ping", "X-Hub-Signature-256": "sha256=" + sign(testSecret, `{"zen":"x"}`)},
			body:   `{"zen":"x"}`, code: 200, answer: answer{Status: "pong"},
		},
		"github of another event": {
			header: header{"X-GitHub-Event": "issues", "X-Hub-Signature-256": "sha256=" + sign(testSecret, `{}`)},
			body:   `{}`, code: 200, answer: answer{Status: "ignored", Reason: `the event "issues" is no push`},
		},
		"github, the branch is deleted": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, deleted)},
			body:   deleted, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"github", "refs/heads/main", ""},
		},
		"another branch": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, otherBranch)},
			body:   otherBranch, code: 200, answer: answer{Status: "ignored", Reason: `the ref "refs/heads/feature" is not the watched one`},
		},
		"another repository": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, otherRepo)},
			body:   otherRepo, code: 200, answer: answer{Status: "ignored", Reason: `the repository "acme/site" is not the watched one`},
		},
		"the default branch of the delivery": {
			change: func(o *ReceiverOptions) { o.Ref = "" },
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, otherBranch)},
			body:   otherBranch, code: 200, answer: answer{Status: "ignored", Reason: `the ref "refs/heads/feature" is not the watched one`},
		},
		"a whole ref is watched": {
			change: func(o *ReceiverOptions) { o.Ref = "refs/heads/main" },
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, githubBody)},
			body:   githubBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"github", "refs/heads/main", commitA},
		},
		"gitlab": {
			header: header{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": testSecret},
			body:   gitlabBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"gitlab", "refs/heads/main", commitA},
		},
		"gitlab of the whole site": {
			header: header{"X-Gitlab-Event": "System Hook", "X-Gitlab-Token": testSecret},
			body:   system, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"gitlab", "refs/heads/main", commitA},
		},
		"gitlab, a tag": {
			change: func(o *ReceiverOptions) { o.Ref = "v1" },
			header: header{"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Token": testSecret},
			body:   tag, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"gitlab", "refs/tags/v1", commitA},
		},
		"gitlab of another event": {
			header: header{"X-Gitlab-Event": "Pipeline Hook", "X-Gitlab-Token": testSecret},
			body:   `{"object_kind":"pipeline"}`, code: 200, answer: answer{Status: "ignored", Reason: `the event "Pipeline Hook" is no push`},
		},
		"gitlab with a wrong token": {
			header: header{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": testSecret + "x"},
			body:   gitlabBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"gitlab signed": {
			change: func(o *ReceiverOptions) { o.Secret = func() ([]byte, error) { return []byte("whsec_" + whsec), nil } },
			header: with(header{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "of-somebody-else-entirely"},
				standard([]byte("0123456789abcdef0123456789abcdef"), "id-1", testNow, gitlabBody)),
			body: gitlabBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"gitlab", "refs/heads/main", commitA},
		},
		"signed with a plain secret": {
			header: standard([]byte(testSecret), "id-1", testNow, genericBody),
			body:   genericBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"generic", "refs/heads/main", ""},
		},
		"signed long ago": {
			header: standard([]byte(testSecret), "id-1", testNow.Add(-6*time.Minute), genericBody),
			body:   genericBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"signed for another id": {
			header: with(standard([]byte(testSecret), "id-1", testNow, genericBody), header{"Webhook-Id": "id-2"}),
			body:   genericBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"gitea": {
			header: header{"X-Gitea-Event": "push", "X-GitHub-Event": "push", "X-Gitea-Signature": sign(testSecret, githubBody)},
			body:   githubBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"gitea", "refs/heads/main", commitA},
		},
		"forgejo": {
			header: header{"X-Forgejo-Event": "push", "X-Gitea-Event": "push", "X-Forgejo-Signature": sign(testSecret, githubBody)},
			body:   githubBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"forgejo", "refs/heads/main", commitA},
		},
		"generic": {
			header: header{"X-Reconcile-Signature-256": "sha256=" + sign(testSecret, genericBody)},
			body:   genericBody, code: 202, answer: answer{Status: "accepted"},
			push: &Push{"generic", "refs/heads/main", ""},
		},
		"generic without a ref": {
			header: header{"X-Reconcile-Signature-256": "sha256=" + sign(testSecret, `{}`)},
			body:   `{}`, code: 400, answer: answer{Status: "refused", Reason: "the body names no ref"},
		},
		"a signature of another body": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, githubBody)},
			body:   otherBranch, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"a signature with another secret": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign("another-secret-entirely", githubBody)},
			body:   githubBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"a cut signature": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, githubBody)[:10]},
			body:   githubBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"an empty signature": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256="},
			body:   githubBody, code: 403, answer: answer{Status: "refused", Reason: "the signature or token is wrong"},
		},
		"the old signature of github": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature": "sha1=aaaa"},
			body:   githubBody, code: 401, answer: answer{Status: "refused", Reason: "the delivery has no signature or token"},
		},
		"no signature": {
			header: header{"X-GitHub-Event": "push"},
			body:   githubBody, code: 401, answer: answer{Status: "refused", Reason: "the delivery has no signature or token"},
		},
		"no secret": {
			change: func(o *ReceiverOptions) { o.Secret = func() ([]byte, error) { return nil, ErrNoSecret } },
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign("", githubBody)},
			body:   githubBody, code: 404, answer: answer{Status: "refused", Reason: "there is nothing here"},
		},
		"a secret that cannot be read": {
			change: func(o *ReceiverOptions) { o.Secret = func() ([]byte, error) { return nil, errors.New("gone") } },
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign("", githubBody)},
			body:   githubBody, code: 404, answer: answer{Status: "refused", Reason: "there is nothing here"},
		},
		"a short secret": {
			change: func(o *ReceiverOptions) { o.Secret = func() ([]byte, error) { return []byte("short"), nil } },
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign("short", githubBody)},
			body:   githubBody, code: 404, answer: answer{Status: "refused", Reason: "there is nothing here"},
		},
		"no JSON": {
			header: header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, "{")},
			body:   "{", code: 400, answer: answer{Status: "refused", Reason: "the body is not the JSON of a push"},
		},
		"a form of something else": {
			header: header{"Content-Type": "application/x-www-form-urlencoded", "X-Reconcile-Signature-256": "sha256=" + sign(testSecret, "a=b")},
			body:   "a=b", code: 400, answer: answer{Status: "refused", Reason: "the form has no field payload; JSON is sent as application/json"},
		},
		"another content type": {
			header: header{"Content-Type": "text/plain", "X-Reconcile-Signature-256": "sha256=" + sign(testSecret, genericBody)},
			body:   genericBody, code: 415, answer: answer{Status: "refused", Reason: "the body must be application/json or application/x-www-form-urlencoded"},
		},
		"a ref that would act on a terminal": {
			header: header{"X-Reconcile-Signature-256": "sha256=" + sign(testSecret, `{"ref":"\u001b[2J"}`)},
			body:   `{"ref":"\u001b[2J"}`, code: 200, answer: answer{Status: "ignored", Reason: `the ref "\u001b[2J" is not the watched one`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, c.change)
			code, a := e.deliver(t, c.header, c.body)
			var want []Push
			if c.push != nil {
				want = []Push{*c.push}
			}
			if code != c.code || a != c.answer {
				t.Errorf("got %d %+v, want %d %+v", code, a, c.code, c.answer)
			}
			if diff := cmp.Diff(want, e.pushes); diff != "" {
				t.Errorf("notifications (-want +got)\n%s", diff)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	e := newEndpoint(t, nil)
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD"} {
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, httptest.NewRequest(method, "/webhook", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestReplays(t *testing.T) {
	github := func(id, body string) header {
		return header{"X-GitHub-Event": "push", "X-GitHub-Delivery": id, "X-Hub-Signature-256": "sha256=" + sign(testSecret, body)}
	}
	gitlab := func(id string) header {
		return header{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": testSecret, "X-Gitlab-Event-UUID": id}
	}
	second := strings.Replace(githubBody, "ada", "eve", 1)
	for name, c := range map[string]struct {
		first, again header
		body, after  string
		later        time.Duration
		want         string
	}{
		"the same":                        {github("1", githubBody), github("1", githubBody), githubBody, githubBody, time.Minute, "seen"},
		"under another id":                {github("1", githubBody), github("2", githubBody), githubBody, githubBody, time.Minute, "seen"},
		"another body of the same id":     {github("1", githubBody), github("1", second), githubBody, second, time.Minute, "seen"},
		"another delivery":                {github("1", githubBody), github("2", second), githubBody, second, time.Minute, "accepted"},
		"a day later":                     {github("1", githubBody), github("1", githubBody), githubBody, githubBody, memory + time.Second, "accepted"},
		"gitlab, the same id":             {gitlab("1"), gitlab("1"), gitlabBody, gitlabBody, time.Minute, "seen"},
		"gitlab, the same move once more": {gitlab("1"), gitlab("2"), gitlabBody, gitlabBody, time.Minute, "accepted"},
		"signed, the same id": {
			standard([]byte(testSecret), "1", testNow, genericBody), standard([]byte(testSecret), "1", testNow, genericBody),
			genericBody, genericBody, time.Minute, "seen",
		},
		"signed, another id": {
			standard([]byte(testSecret), "1", testNow, genericBody), standard([]byte(testSecret), "2", testNow, genericBody),
			genericBody, genericBody, time.Minute, "accepted",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, nil)
			if _, a := e.deliver(t, c.first, c.body); a.Status != "accepted" {
				t.Fatalf("the first: %+v", a)
			}
			e.now = e.now.Add(c.later)
			_, a := e.deliver(t, c.again, c.after)
			if a.Status != c.want {
				t.Errorf("the second: %+v, want %s", a, c.want)
			}
			if got, want := len(e.pushes), map[string]int{"seen": 1, "accepted": 2}[c.want]; got != want {
				t.Errorf("%d notifications, want %d", got, want)
			}
		})
	}
}

// An ignored delivery must not make a later one with its id count as seen, nor
// must one that proves nothing.
func TestOnlyAcceptedDeliveriesAreRemembered(t *testing.T) {
	e := newEndpoint(t, nil)
	h := header{"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "X-Hub-Signature-256": "sha256=" + sign("of somebody else", githubBody)}
	if code, _ := e.deliver(t, h, githubBody); code != 403 {
		t.Fatalf("got %d", code)
	}
	h["X-Hub-Signature-256"] = "sha256=" + sign(testSecret, githubBody)
	if _, a := e.deliver(t, h, githubBody); a.Status != "accepted" {
		t.Errorf("got %+v", a)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var s seen
	for i := range 3 * maxRemembered {
		if !s.add([]string{fmt.Sprint(i), fmt.Sprint("body ", i)}, testNow) {
			t.Fatalf("%d is known already", i)
		}
	}
	if s.order.Len() != maxRemembered || len(s.byKey) != 2*maxRemembered {
		t.Errorf("%d entries, %d keys", s.order.Len(), len(s.byKey))
	}
	newest := 3*maxRemembered - 1
	if s.add([]string{fmt.Sprint(newest)}, testNow) {
		t.Error("the newest is forgotten")
	}
}

// endless is a body that notes how much of it is read.
type endless struct{ read int }

func (b *endless) Read(p []byte) (int, error) {
	b.read += len(p)
	return len(p), nil
}

func TestLargeBodies(t *testing.T) {
	e := newEndpoint(t, nil)
	announced := &endless{}
	r := httptest.NewRequest(http.MethodPost, "/webhook", announced)
	r.ContentLength = maxBody + 1
	r.Header.Set("X-Hub-Signature-256", "sha256=00")
	if code, _ := e.do(t, r); code != 413 || announced.read != 0 {
		t.Errorf("announced: %d after %d bytes", code, announced.read)
	}
	silent := &endless{}
	r = httptest.NewRequest(http.MethodPost, "/webhook", silent)
	r.ContentLength = -1
	r.Header.Set("X-Hub-Signature-256", "sha256=00")
	if code, _ := e.do(t, r); code != 413 || silent.read > 2*maxBody {
		t.Errorf("not announced: %d after %d bytes", code, silent.read)
	}
	unproved := &endless{}
	r = httptest.NewRequest(http.MethodPost, "/webhook", unproved)
	if code, _ := e.do(t, r); code != 401 || unproved.read != 0 {
		t.Errorf("without a proof: %d after %d bytes", code, unproved.read)
	}
	exact := `{"ref":"refs/heads/main","pad":"` + strings.Repeat("x", maxBody-34) + `"}`
	if _, a := e.deliver(t, header{"X-Reconcile-Signature-256": "sha256=" + sign(testSecret, exact)}, exact); len(exact) != maxBody || a.Status != "accepted" {
		t.Errorf("a body of exactly the limit (%d): %+v", len(exact), a)
	}
}

// Deliveries that come slowly must not fill the memory.
func TestConcurrentDeliveries(t *testing.T) {
	e := newEndpoint(t, nil)
	server := httptest.NewServer(e.handler)
	defer server.Close()
	var slow []*io.PipeWriter
	var ends sync.WaitGroup
	for range maxConcurrent {
		body, w := io.Pipe()
		slow = append(slow, w)
		ends.Go(func() {
			r, _ := http.NewRequest(http.MethodPost, server.URL, body)
			r.Header.Set("X-Hub-Signature-256", "sha256=00")
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		})
		if _, err := w.Write([]byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	post := func() int {
		r, _ := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(genericBody))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Reconcile-Signature-256", "sha256="+sign(testSecret, genericBody))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	rc := e.handler.(*receiver)
	for len(rc.slots) < maxConcurrent {
		time.Sleep(time.Millisecond)
	}
	if got := post(); got != 503 {
		t.Errorf("while all are busy: %d", got)
	}
	for _, w := range slow {
		w.Close()
	}
	ends.Wait()
	if got := post(); got != 202 {
		t.Errorf("afterwards: %d", got)
	}
}

// One delivery at many connections at once counts once.
func TestSameDeliveryAtOnce(t *testing.T) {
	e := newEndpoint(t, nil)
	h := header{"X-Reconcile-Signature-256": "sha256=" + sign(testSecret, genericBody)}
	var wg sync.WaitGroup
	for range maxConcurrent {
		wg.Go(func() { e.deliver(t, h, genericBody) })
	}
	wg.Wait()
	if len(e.pushes) != 1 {
		t.Errorf("%d notifications", len(e.pushes))
	}
}

// Of several repositories each is watched for its own ref.
func TestWatched(t *testing.T) {
	watched := []Watch{{Path: "/acme/infra.git", Ref: "main"}, {Path: "/acme/docs.git", Ref: "v1"}, {Path: "/acme/docs.git"}}
	e := newEndpoint(t, func(o *ReceiverOptions) { o.Watched = func() []Watch { return watched } })
	send := func(name, ref string) (int, string) {
		body := `{"ref":"` + ref + `","repository":{"full_name":"` + name + `","default_branch":"trunk"},"after":"` + rand.Text() + `"}`
		code, a := e.deliver(t, header{"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sign(testSecret, body)}, body)
		return code, a.Reason
	}
	for _, c := range []struct {
		name, ref string
		code      int
		reason    string
	}{
		{"acme/infra", "refs/heads/main", 202, ""},
		{"acme/docs", "refs/tags/v1", 202, ""},
		{"acme/docs", "refs/heads/trunk", 202, ""},
		{"acme/docs", "refs/heads/main", 200, `the ref "refs/heads/main" is not the watched one`},
		{"acme/else", "refs/heads/main", 200, `the repository "acme/else" is not the watched one`},
	} {
		if code, reason := send(c.name, c.ref); code != c.code || reason != c.reason {
			t.Errorf("%s %s: %d %s, want %d %s", c.name, c.ref, code, reason, c.code, c.reason)
		}
	}
	watched = nil
	if code, _ := send("acme/infra", "refs/heads/main"); code != 200 {
		t.Errorf("nothing is watched: %d", code)
	}
}

func TestSamePath(t *testing.T) {
	for _, c := range []struct {
		path, name string
		want       bool
	}{
		{"/acme/infra.git", "acme/infra", true},
		{"acme/infra", "Acme/Infra", true},
		{"/git/acme/infra.git", "acme/infra", true},
		{"/acme/infra", "me/infra", false},
		{"/acme/infra", "acme/infra2", false},
		{"/group/sub/infra.git", "group/sub/infra", true},
	} {
		if got := samePath(c.path, c.name); got != c.want {
			t.Errorf("samePath(%q, %q) = %v", c.path, c.name, got)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add("push", githubBody)
	f.Add("push", `{"ref":["x"]}`)
	f.Add("", `payload=%7B%7D`)
	f.Fuzz(func(t *testing.T, event, body string) {
		if strings.ContainsAny(event, "\r\n\x00") {
			return
		}
		e := newEndpoint(t, func(o *ReceiverOptions) { o.Ref, o.Path = "", "" })
		h := header{"X-GitHub-Event": event, "X-Hub-Signature-256": "sha256=" + sign(testSecret, body)}
		if code, _ := e.deliver(t, h, body); code == 202 && len(e.pushes) != 1 || code != 202 && len(e.pushes) != 0 {
			t.Errorf("%d with %d notifications", code, len(e.pushes))
		}
	})
}
