// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// State is how a commit does.
type State string

// The states.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
)

// Status is what is said about a commit.
type Status struct {
	Commit      string // full hash
	State       State
	Description string // one line; cut to what the forge takes
}

// call is one request to a forge's API.
type call struct {
	url    string
	header http.Header
	body   []byte
}

// call returns the request that posts s.
func (o ReporterOptions) call(s Status) call {
	c := call{header: http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		"User-Agent":   {"reconcile"},
	}}
	fields := map[string]string{"state": string(s.State), "description": shorten(s.Description, descriptionLimit(o.Kind))}
	if o.TargetURL != "" {
		fields["target_url"] = o.TargetURL
	}
	switch o.Kind {
	case GitLab:
		c.url = o.API + "/projects/" + url.PathEscape(o.Project) + "/statuses/" + s.Commit
		c.header.Set("PRIVATE-TOKEN", o.Token)
		fields["name"] = o.Context
		if s.State == Failure {
			fields["state"] = "failed"
		}
	case Gitea:
		c.url = o.API + "/repos/" + escapePath(o.Project) + "/statuses/" + s.Commit
		c.header.Set("Authorization", "token "+o.Token)
		fields["context"] = o.Context
	default:
		c.url = o.API + "/repos/" + escapePath(o.Project) + "/statuses/" + s.Commit
		c.header.Set("Accept", "application/vnd.github+json")
		c.header.Set("Authorization", "Bearer "+o.Token)
		c.header.Set("X-GitHub-Api-Version", "2022-11-28")
		fields["context"] = o.Context
	}
	c.body, _ = json.Marshal(fields) // a map of strings has a form
	return c
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// descriptionLimit is in characters. Gitea has none; a line is enough.
func descriptionLimit(k Kind) int {
	if k == GitHub {
		return 140
	}
	return 255
}

// shorten makes s one line of at most limit characters.
func shorten(s string, limit int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimRight(string([]rune(s)[:limit-1]), " ") + "…"
}
