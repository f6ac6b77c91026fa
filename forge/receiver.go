// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Limits of a receiver. A day is longer than any forge goes on delivering.
const (
	MinSecret     = 16              // bytes of a webhook secret
	maxBody       = 5 << 20         // bytes of a delivery
	maxConcurrent = 8               // deliveries that are read at the same time
	memory        = 24 * time.Hour  // for which a delivery is remembered
	maxRemembered = 4096            // deliveries
	maxSkew       = 5 * time.Minute // of the clock of a delivery with a signed time
)

// ErrNoSecret is returned by ReceiverOptions.Secret where none is configured.
var ErrNoSecret = errors.New("no webhook secret is configured")

// ReceiverOptions say which deliveries count. Secret and Notify are required.
type ReceiverOptions struct {
	// Secret returns what the forge and this host share, of at least [MinSecret]
	// bytes. It is asked for each delivery, so that a secret can be changed while
	// the program runs. With an error the endpoint does not exist: 404.
	Secret func() ([]byte, error)
	// What is watched is Watch, or, when it is set, what Watched returns, which is
	// asked for each delivery.
	Watch
	Watched func() []Watch
	// Notify is told of each delivery that counts. It must not block.
	Notify func(Push)
	Now    func() time.Time // nil = time.Now
	Log    *slog.Logger     // nil = silent
}

// Watch is a ref of a repository.
type Watch struct {
	// Ref is watched: a whole reference, or the name of a branch or tag; "" = the
	// default branch, as the delivery names it.
	Ref string
	// Path is the path of the watched repository's URL. A delivery that names
	// another repository is ignored; "" = any counts.
	Path string
}

// Push is a delivery that counts.
type Push struct {
	Forge  string // github, gitlab, gitea, forgejo or generic
	Ref    string // whole
	Commit string // what Ref points to now, as the delivery says; "" = it does not, or Ref is gone
}

// answer is the body of every response, and its status code.
type answer struct {
	code   int
	Status string `json:"status"` // accepted, ignored, seen, pong or refused
	Reason string `json:"reason,omitempty"`
}

func refused(code int, reason string) answer { return answer{code, "refused", reason} }

func ignored(reason string) answer { return answer{http.StatusOK, "ignored", reason} }

type receiver struct {
	opt   ReceiverOptions
	slots chan struct{}
	seen  seen
}

// NewReceiver returns the handler of webhook deliveries, whatever path it is
// put at. It answers before anything is done about a delivery: 202 accepted, 200
// for what needs no look (another ref or event, a delivery that came before),
// 401 without and 403 with a wrong proof, 404 without a secret, 405, 413, 415,
// 400 for a body that is not understood, and 503 while too many deliveries come
// at once.
func NewReceiver(o ReceiverOptions) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &receiver{opt: o, slots: make(chan struct{}, maxConcurrent)}
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := rc.receive(w, r)
	switch a.code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Signature")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "10")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.code)
	_ = json.NewEncoder(w).Encode(a) // whoever does not wait for the answer needs none
}

func (rc *receiver) receive(w http.ResponseWriter, r *http.Request) answer {
	secret, err := rc.secret()
	if err != nil {
		return refused(http.StatusNotFound, "there is nothing here")
	}
	if r.Method != http.MethodPost {
		return refused(http.StatusMethodNotAllowed, "deliveries are sent with POST")
	}
	proofs := proofsIn(r.Header)
	if len(proofs) == 0 {
		return refused(http.StatusUnauthorized, "the delivery has no signature or token")
	}
	select {
	case rc.slots <- struct{}{}:
		defer func() { <-rc.slots }()
	default:
		return refused(http.StatusServiceUnavailable, "too many deliveries at once")
	}
	body, refusal := readBody(w, r)
	if refusal != nil {
		return *refusal
	}
	p, ok := verify(proofs, secret, body, rc.opt.Now())
	if !ok {
		rc.opt.Log.Warn("a webhook delivery has a wrong signature or token", "remote", r.RemoteAddr)
		return refused(http.StatusForbidden, "the signature or token is wrong")
	}
	return rc.judge(r.Header, p, body)
}

func (rc *receiver) secret() ([]byte, error) {
	secret, err := rc.opt.Secret()
	if err == nil && len(secret) < MinSecret {
		err = errors.New("the webhook secret is too short")
	}
	if err != nil && !errors.Is(err, ErrNoSecret) {
		rc.opt.Log.Error("webhooks are off", "error", err)
	}
	return secret, err
}

// readBody reads no more than a delivery may have, and nothing of one that says
// beforehand that it has more.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *answer) {
	tooLarge := refused(http.StatusRequestEntityTooLarge, "the delivery is larger than 5 MiB")
	if r.ContentLength > maxBody {
		w.Header().Set("Connection", "close")
		return nil, &tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, &tooLarge
	}
	if err != nil {
		a := refused(http.StatusBadRequest, "the body could not be read")
		return nil, &a
	}
	return body, nil
}

// judge decides about a delivery that has proved itself.
func (rc *receiver) judge(h http.Header, p proof, body []byte) answer {
	sender, event := eventIn(h)
	doc, refusal := document(h, body)
	if refusal != nil {
		return *refusal
	}
	switch {
	case event == "ping":
		return answer{http.StatusOK, "pong", ""}
	case event == "" && sender != generic:
		event = doc.event()
	}
	if sender != generic && event != "push" {
		return ignored("the event " + quote(event) + " is no push")
	}
	if doc.Ref == "" {
		return refused(http.StatusBadRequest, "the body names no ref")
	}
	if reason := rc.about(doc); reason != "" {
		return ignored(reason)
	}
	if !rc.seen.add(replayKeys(sender, h, p, body), rc.opt.Now()) {
		return answer{http.StatusOK, "seen", "this delivery came before; where each one has the same body, give it a unique \"id\""}
	}
	push := Push{Forge: sender, Ref: doc.Ref, Commit: doc.commit()}
	rc.opt.Log.Info("webhook", "forge", push.Forge, "ref", push.Ref, "commit", push.Commit)
	rc.opt.Notify(push)
	return answer{http.StatusAccepted, "accepted", ""}
}

// about says why a delivery is about something else; "" = it is about what is
// watched. One about a branch that is gone counts: the look finds out.
func (rc *receiver) about(d payload) string {
	watched := []Watch{rc.opt.Watch}
	if rc.opt.Watched != nil {
		watched = rc.opt.Watched()
	}
	name := d.repository()
	reason := "the repository " + quote(name) + " is not the watched one"
	for _, w := range watched {
		switch {
		case name != "" && w.Path != "" && !samePath(w.Path, name):
		case w.isAbout(d):
			return ""
		default:
			reason = "the ref " + quote(d.Ref) + " is not the watched one"
		}
	}
	return reason
}

// isAbout reports whether a delivery is about the ref.
func (w Watch) isAbout(d payload) bool {
	watched := w.Ref
	if watched == "" {
		if watched = d.defaultBranch(); watched == "" {
			return true // the sender does not know it either
		}
	}
	for _, prefix := range []string{"", "refs/heads/", "refs/tags/"} {
		if d.Ref == prefix+watched || prefix != "" && prefix+d.Ref == watched {
			return true
		}
	}
	return false
}

// samePath reports whether name, such as owner/name, is the repository at the
// path of a URL; sites may be installed below a path of their own.
func samePath(path, name string) bool {
	trim := func(s string) string {
		return "/" + strings.ToLower(strings.TrimSuffix(strings.Trim(s, "/"), ".git"))
	}
	return strings.HasSuffix(trim(path), trim(name))
}

// quote shows a word of a delivery in an answer, short and without anything
// that a terminal would act on.
func quote(s string) string {
	runes := []rune(s)
	if len(runes) > 100 {
		s = string(runes[:100]) + "…"
	}
	b, _ := json.Marshal(s)
	return string(b)
}
