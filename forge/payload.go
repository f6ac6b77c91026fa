// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// generic is the sender of a delivery that names no forge.
const generic = "generic"

// eventHeaders lead from the header with a delivery's event to its sender. The
// order counts: Forgejo and Gitea also send what GitHub sends.
var eventHeaders = []struct{ header, sender string }{
	{"X-Forgejo-Event", "forgejo"},
	{"X-Gitea-Event", "gitea"},
	{"X-Gitlab-Event", "gitlab"},
	{"X-Github-Event", "github"},
}

// deliveryHeaders hold a delivery's id.
var deliveryHeaders = map[string][]string{
	"forgejo": {"X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Github-Delivery"},
	"gitea":   {"X-Gitea-Delivery", "X-Github-Delivery"},
	"gitlab":  {"Idempotency-Key", "X-Gitlab-Event-Uuid"},
	"github":  {"X-Github-Delivery"},
	generic:   {"X-Reconcile-Delivery"},
}

// eventIn returns who sent a delivery and the event: push, ping, another word,
// or "" where only the body says it.
func eventIn(h http.Header) (sender, event string) {
	for _, e := range eventHeaders {
		v := h.Get(e.header)
		if v == "" {
			continue
		}
		if e.sender != "gitlab" {
			return e.sender, v
		}
		switch v {
		case "Push Hook", "Tag Push Hook":
			return e.sender, "push"
		case "System Hook":
			return e.sender, ""
		}
		return e.sender, v
	}
	return generic, ""
}

// payload is what we read of a delivery, of whichever sender.
type payload struct {
	Ref   string `json:"ref"`
	After string `json:"after"`

	ObjectKind string `json:"object_kind"` // GitLab
	EventName  string `json:"event_name"`  // GitLab's system hooks

	Repository struct {
		FullName      string `json:"full_name"`
		DefaultBranch string `json:"default_branch"`
	} `json:"repository"`
	Project struct { // GitLab
		Path          string `json:"path_with_namespace"`
		DefaultBranch string `json:"default_branch"`
	} `json:"project"`
}

func (p payload) event() string {
	kind := p.ObjectKind
	if kind == "" {
		kind = p.EventName
	}
	if kind == "tag_push" {
		return "push"
	}
	return kind
}

func (p payload) repository() string {
	if p.Project.Path != "" {
		return p.Project.Path
	}
	return p.Repository.FullName
}

func (p payload) defaultBranch() string {
	if p.Project.DefaultBranch != "" {
		return p.Project.DefaultBranch
	}
	return p.Repository.DefaultBranch
}

// commit is "" for a ref that is gone, which forges show by zeros.
func (p payload) commit() string {
	if strings.Trim(p.After, "0") == "" || !isHash(p.After) {
		return ""
	}
	return p.After
}

func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// document decodes the body of a delivery: JSON, or a form whose field payload
// is JSON.
func document(h http.Header, body []byte) (payload, *answer) {
	fail := func(code int, reason string) (payload, *answer) {
		a := refused(code, reason)
		return payload{}, &a
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/json" && kind != "application/x-www-form-urlencoded":
		return fail(http.StatusUnsupportedMediaType, "the body must be application/json or application/x-www-form-urlencoded")
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("payload") == "" {
			return fail(http.StatusBadRequest, "the form has no field payload; JSON is sent as application/json")
		}
		body = []byte(form.Get("payload"))
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return fail(http.StatusBadRequest, "the body is not the JSON of a push")
	}
	return p, nil
}
