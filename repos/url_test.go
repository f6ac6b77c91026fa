// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.org/org/utils.git":     "https://example.org/org/utils.git",
		"https://example.org/org/utils.git/":    "https://example.org/org/utils.git",
		"HTTPS://EXAMPLE.org:443/Org/a":         "https://example.org/Org/a",
		"http://example.org:0080/a":             "http://example.org/a",
		"https://example.org:8443/a":            "https://example.org:8443/a",
		"https://example.org/a%20b/%2Fc":        "https://example.org/a%20b/%2Fc",
		"https://[::1]:8443/a":                  "https://[::1]:8443/a",
		"https://[0:0::1]/a":                    "https://[::1]/a",
		"https://127.0.0.1/a":                   "https://127.0.0.1/a",
		"https://example.org/@scope/a":          "https://example.org/@scope/a",
		"ssh://git@example.org:22/org/a":        "ssh://git@example.org/org/a",
		"ssh://example.org/~ada/a":              "ssh://example.org/~ada/a",
		"ssh://org-1@example.org:2222/a":        "ssh://org-1@example.org:2222/a",
		"git@example.org:org/tools.git":         "git@example.org:org/tools.git",
		"git@EXAMPLE.org:org/tools.git/":        "git@example.org:org/tools.git",
		"git@example.org:/srv/tools.git":        "ssh://git@example.org/srv/tools.git",
		"git@[::1]:tools":                       "git@[::1]:tools",
		"/srv/a.git":                            "file:///srv/a.git",
		"/srv/../srv//a.git/":                   "file:///srv/a.git",
		"/srv/a b#c?d.git":                      "file:///srv/a%20b%23c%3Fd.git",
		"file:///srv/a.git":                     "file:///srv/a.git",
		"file://localhost/srv/a.git":            "file:///srv/a.git",
		"file:///srv/a%20b%23c%3Fd.git":         "file:///srv/a%20b%23c%3Fd.git",
		"https://example.org/a/b.git?":          "",
		"":                                      "",
		"-oProxyCommand=id":                     "",
		"--upload-pack=id":                      "",
		"ssh://-oProxyCommand=id/a":             "",
		"ssh://-l@example.org/a":                "",
		"-l@example.org:a":                      "",
		"git@-oProxyCommand=id:a":               "",
		"git@example.org:-x":                    "",
		"git@example.org:":                      "",
		"https://example.org/a\nb":              "",
		"https://example.org/a%0ab":             "",
		"https://example.org/\x1b[31m":          "",
		"https://example.org/\xff":              "",
		"https://example.org/a b":               "",
		"https://user:s3cret@example.org/a":     "",
		"https://s3cret@example.org/a":          "",
		"https://user:s3/cr@et@example.org/a":   "",
		"http://:s3cret@example.org/a":          "",
		"ssh://git:s3cret@example.org/a":        "",
		"git:s3cret@example.org:a":              "",
		"https://example.org/a?token=s3cret":    "",
		"https://example.org/a#s3cret":          "",
		"https://example.org/a#":                "",
		"https://example.org":                   "",
		"https://example.org/":                  "",
		"https:///a":                            "",
		"https://exa$mple.org/a":                "",
		"https://example.org:0/a":               "",
		"https://example.org:65536/a":           "",
		"https://example.org:x/a":               "",
		"git://example.org/a":                   "",
		"ftp://example.org/a":                   "",
		"ext::sh -c id":                         "",
		"ext::sh":                               "",
		"file://host/a":                         "",
		"file:a":                                "",
		"example.org:a":                         "",
		"../a":                                  "",
		"a":                                     "",
		"javascript:alert(1)":                   "",
		"https://user:s3cret@exa mple.org/a":    "",
		"HtTpS://user:s3cret@example.org:x/a":   "",
		"https://user:s3cret@example.org/a\x00": "",
	} {
		u, err := ParseURL(in)
		switch {
		case want == "" && err == nil:
			t.Errorf("ParseURL(%q) = %q, want an error", in, u)
		case want == "" && (!errors.Is(err, ErrURL) || strings.Contains(err.Error(), "s3") || strings.ContainsAny(err.Error(), "\n\x1b\x00")):
			t.Errorf("ParseURL(%q): %v", in, err)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("ParseURL(%q) = %q, %v, want %q", in, u, err, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://example.org/a":               "https://example.org/a",
		"https://u:p@example.org/a":           "https://***@example.org/a",
		"https://u:p/q@r@example.org/a":       "https://***@example.org/a",
		"https://token@example.org/a":         "https://***@example.org/a",
		"https://example.org/a?x=y":           "https://example.org/a?***",
		"https://example.org/a?x=u@h":         "https://example.org/a?***",
		"https://example.org/a#x":             "https://example.org/a#***",
		"https://example.org/@scope/a":        "https://example.org/@scope/a",
		"ssh://git@example.org/a":             "ssh://git@example.org/a",
		"ssh://git:p@example.org/a":           "ssh://***@example.org/a",
		"git@example.org:a":                   "git@example.org:a",
		"git:p@example.org:a":                 "***@example.org:a",
		"/srv/a@b":                            "/srv/a@b",
		"https://u:p?w@example.org/a":         "https://***@example.org/a",
		"https://u:p#w@example.org/a":         "https://***@example.org/a",
		"nonsense with u:p@example.org in it": "***@example.org in it",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

// What ParseURL takes is safe to use in every place, and means itself.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"https://example.org/a", "ssh://git@example.org:22/~a/b", "git@example.org:a/b.git", "file:///srv/a", "/srv/a b",
		"https://u:p@h/a", "ext::sh", "-x", "git@[::1]:x", "https://[::1%25eth0]/x", "https://example.org/%2e%2e/a%ff", "ssh://a@b/%00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			if !errors.Is(err, ErrURL) || strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
				t.Errorf("ParseURL(%q): %v", s, err)
			}
			return
		}
		normal := u.String()
		again, err := ParseURL(normal)
		if err != nil || again.String() != normal || again.folder() != u.folder() {
			t.Errorf("ParseURL(%q) = %q, which is read as %q, %v", s, normal, again, err)
		}
		if strings.HasPrefix(normal, "-") || strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User, "-") || strings.HasPrefix(u.Path, "-") {
			t.Errorf("ParseURL(%q) = %q looks like an option", s, normal)
		}
		if strings.ContainsAny(normal, "\n\r\x00\x1b#?") || strings.ContainsAny(u.Path, "\n\r\x00\x1b") {
			t.Errorf("ParseURL(%q) = %q has characters that it must not have", s, normal)
		}
		if (u.Scheme == "https" || u.Scheme == "http") && strings.Contains(strings.SplitN(normal, "/", 4)[2], "@") {
			t.Errorf("ParseURL(%q) = %q has a login", s, normal)
		}
	})
}
