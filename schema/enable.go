// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	enableSummary = "invalid enable entry"
	enableGrammar = "an entry is: REF [global | devel REPO] [no-wait] [as ALIAS], where REF is agent, repo/agent or repo:agent"
	maxName       = 63 // of a DNS label
)

var (
	agentName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)
	aliasName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

// ParseEnable parses one enable entry, `REF [global | devel REPO] [no-wait]
// [as ALIAS]`. Every problem of the entry is reported at pos, naming the token;
// with a problem the result holds what could be read and must not be acted on.
//
// Letters of both cases are accepted in names, since agents' folders use them;
// whether a folder's name may be an instance's name is the loader's to say.
func ParseEnable(text string, pos Pos) (Enable, Diagnostics) {
	p := enableParser{entry: Enable{Text: text, Pos: pos}}
	if c, bad := firstControl(text); bad {
		p.problem("", "%s contains the control character %s", quoteShort(text), c)
		return p.entry, p.found
	}
	p.rest = strings.Fields(text)
	if len(p.rest) == 0 {
		p.problem(enableGrammar, "the entry is empty")
		return p.entry, p.found
	}
	p.ref(p.next())
	p.mode()
	if p.keyword("no-wait") {
		p.entry.NoWait = true
	}
	p.alias()
	if len(p.rest) > 0 {
		p.leftOver()
	}
	return p.entry, p.found
}

// String returns the canonical spelling, which parses to the same entry.
func (e Enable) String() string {
	var b strings.Builder
	if e.Repo != "" {
		b.WriteString(e.Repo + "/")
	}
	b.WriteString(e.Agent)
	switch e.Mode {
	case EnableGlobal:
		b.WriteString(" global")
	case EnableDevel:
		b.WriteString(" devel " + e.Devel)
	}
	if e.NoWait {
		b.WriteString(" no-wait")
	}
	if e.Alias != "" {
		b.WriteString(" as " + e.Alias)
	}
	return b.String()
}

type enableParser struct {
	entry Enable
	rest  []string
	found Diagnostics
}

func (p *enableParser) problem(hint, format string, args ...any) {
	p.found = append(p.found, Diagnostic{
		Severity: Error, Summary: enableSummary, Pos: p.entry.Pos,
		Detail: fmt.Sprintf(format, args...), Hint: hint,
	})
}

func (p *enableParser) next() string {
	token := p.rest[0]
	p.rest = p.rest[1:]
	return token
}

// keyword consumes the next token if it is exactly word.
func (p *enableParser) keyword(word string) bool {
	if len(p.rest) == 0 || p.rest[0] != word {
		return false
	}
	p.next()
	return true
}

func (p *enableParser) ref(token string) {
	sep := strings.IndexAny(token, "/:")
	if sep < 0 {
		p.entry.Agent = token
		p.name("agent", token, agentName, "letters, digits and '-'")
		return
	}
	p.entry.Repo, p.entry.Agent = token[:sep], token[sep+1:]
	if strings.ContainsAny(p.entry.Agent, "/:") {
		p.problem(enableGrammar, "%s has more than two parts", quoteShort(token))
		return
	}
	if p.entry.Repo == "" || p.entry.Agent == "" {
		p.problem(enableGrammar, "%s has an empty part", quoteShort(token))
		return
	}
	p.name("repo", p.entry.Repo, aliasName, "letters, digits, '_', '.' and '-'")
	p.name("agent", p.entry.Agent, agentName, "letters, digits and '-'")
}

func (p *enableParser) mode() {
	if p.keyword("global") {
		p.entry.Mode = EnableGlobal
		return
	}
	if !p.keyword("devel") {
		return
	}
	p.entry.Mode = EnableDevel
	if len(p.rest) == 0 {
		p.problem(enableGrammar, "devel needs the name of a repo after it")
		return
	}
	p.entry.Devel = p.next()
	if !p.name("repo", p.entry.Devel, aliasName, "letters, digits, '_', '.' and '-'") {
		return
	}
	if p.entry.Repo != "" && p.entry.Repo != p.entry.Devel {
		p.problem("drop one of the two", "the agent is looked up in repo %s and in repo %s at once",
			quoteShort(p.entry.Repo), quoteShort(p.entry.Devel))
	}
}

func (p *enableParser) alias() {
	if len(p.rest) == 0 || !strings.EqualFold(p.rest[0], "as") {
		return
	}
	p.next()
	if len(p.rest) == 0 {
		p.problem(enableGrammar, "as needs an alias after it")
		return
	}
	p.entry.Alias = p.next()
	p.name("alias", p.entry.Alias, aliasName, "letters, digits, '_', '.' and '-'")
}

// leftOver reports the first token that the grammar has no place for; what
// follows it cannot be judged.
func (p *enableParser) leftOver() {
	token := p.rest[0]
	for _, word := range []string{"global", "devel", "no-wait"} {
		if token != word && strings.EqualFold(token, word) {
			p.problem(fmt.Sprintf("did you mean %q?", word), "unexpected %s: keywords are written in lower case", quoteShort(token))
			return
		}
	}
	switch token {
	case "global", "devel", "no-wait":
		p.problem(enableGrammar, "unexpected %q: it is repeated or comes too late", token)
	default:
		p.problem(enableGrammar, "unexpected %s", quoteShort(token))
	}
}

// name checks one name and reports whether it will do.
func (p *enableParser) name(what, name string, pattern *regexp.Regexp, allowed string) bool {
	switch {
	case strings.Contains(name, ".."):
		p.problem("", "the %s %s contains \"..\"", what, quoteShort(name))
	case len(name) > maxName:
		p.problem("", "the %s %s has %d characters; at most %d are allowed", what, quoteShort(name), utf8.RuneCountInString(name), maxName)
	case !pattern.MatchString(name):
		ends := "must start with a letter or digit"
		if pattern == agentName {
			ends = "must start and end with a letter or digit"
		}
		p.problem("", "the %s %s may hold only %s, and %s", what, quoteShort(name), allowed, ends)
	default:
		return true
	}
	return false
}

// firstControl returns the first control character or broken byte of text,
// printable. White space that YAML folds into a string is let through.
func firstControl(text string) (string, bool) {
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return fmt.Sprintf("0x%02X (not UTF-8)", text[i]), true
			}
		}
		if unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) {
			return fmt.Sprintf("U+%04X", r), true
		}
	}
	return "", false
}

// quoteShort quotes s for a message, cutting what no person would read.
func quoteShort(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
