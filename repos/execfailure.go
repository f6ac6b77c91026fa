// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"fmt"
	"regexp"
	"strings"
)

// gitComplaint is what the git program says about an error, and what it means.
type gitComplaint struct {
	says string // in lower case, anywhere
	kind error
	once bool
	text string // "" = the line that says so
}

// gitComplaints are looked through in this order.
var gitComplaints = []gitComplaint{
	{"remote host identification has changed", ErrAuth, true, "the host key of the server has changed; somebody may be in between"},
	{"host key verification failed", ErrAuth, true, "the host key of the server is not known; once you have checked it, add what ssh-keyscan prints to the known hosts"},
	{"permission denied (", ErrAuth, true, "the server takes none of our keys"},
	{"authentication failed", ErrAuth, true, "the credentials were refused"},
	{"could not read username", ErrAuth, true, "credentials are wanted"},
	{"could not read password", ErrAuth, true, "credentials are wanted"},
	{"returned error: 403", ErrAuth, true, "access is forbidden"},
	{"dubious ownership", ErrAuth, true, "it belongs to another user of this host"},
	{"couldn't find remote ref", ErrNoRef, true, ""},
	{"unadvertised object", ErrNoRef, true, ""},
	{"not our ref", ErrNoRef, true, ""},
	{"does not appear to be a git repository", ErrNotFound, true, ""},
	{"' not found", ErrNotFound, true, ""},
	{"repository not found", ErrNotFound, true, ""},
	{"no such repository", ErrNotFound, true, ""},
	{"could not be found", ErrNotFound, true, ""},
	{"not valid: is this a git repository", ErrNotFound, true, errNoGitServer.Error()},
	{"certificate", nil, true, ""},
	{"early eof", nil, false, "the answer broke off"},
	{"hung up unexpectedly", nil, false, "the answer broke off"},
	{"unexpected disconnect", nil, false, "the answer broke off"},
	{"rpc failed", nil, false, "the answer broke off"},
	{"returned error: 4", nil, true, ""},
}

// failure says what the git program's complaints mean. Its words about the
// network are an interface that nobody promised: what is not known is passed on,
// and tried again.
func (g *gitProgram) failure(stderr string, err error) error {
	lower := strings.ToLower(stderr)
	for _, c := range gitComplaints {
		if !strings.Contains(lower, c.says) {
			continue
		}
		e := &remoteError{u: g.u, kind: c.kind, once: c.once, text: c.text}
		if e.text == "" {
			e.text = lineWith(stderr, c.says)
		}
		if c.kind != nil {
			e.text = fmt.Sprintf("%v: %s", c.kind, e.text)
		}
		if c.kind == ErrAuth && (strings.Contains(e.text, "wanted") || strings.Contains(e.text, "none of our keys")) {
			e.text += " (" + g.auth.advice(g.u) + ")"
		}
		return e
	}
	text := lastFatal(stderr)
	if text == "" {
		text = plain("git: " + err.Error())
	}
	return &remoteError{u: g.u, text: text}
}

func lineWith(stderr, says string) string {
	for line := range strings.Lines(stderr) {
		if strings.Contains(strings.ToLower(line), says) {
			return spoken(line)
		}
	}
	return ""
}

// lastFatal is the last line that says why, else the last line.
func lastFatal(stderr string) string {
	last := ""
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if strings.HasPrefix(line, "fatal: ") || strings.HasPrefix(line, "ERROR: ") || !strings.Contains(last, ": ") {
			last = line
		}
	}
	return spoken(last)
}

var urls = regexp.MustCompile(`[a-z+]+://[^\s']+`)

// spoken is a line of git's without its prefix and without what may be secret in
// addresses that a server has sent us on to.
func spoken(line string) string {
	line = strings.TrimSpace(line)
	for _, prefix := range []string{"fatal: ", "error: ", "remote: ", "ERROR: "} {
		line = strings.TrimPrefix(line, prefix)
	}
	return plain(urls.ReplaceAllStringFunc(line, Redact))
}
