// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
)

// Redacted stands in the output of hooks where the value of a secret was.
const Redacted = "[redacted]"

// minSecret is the length of the shortest value that is redacted: anything
// shorter is part of too many words to be a secret, and of all output.
const minSecret = 4

// minEncoded is the length of the shortest part of a base64 text that gives a
// value away.
const minEncoded = 8

// base64Line is the length of the lines that base64(1) prints.
const base64Line = 76

// Redactor passes what is written to it on to another writer, with the values
// of secrets replaced by [Redacted]: as they are, in base64 wherever they are in
// what was encoded, quoted as JSON, and escaped for URLs. It does not matter how
// they are cut into writes. What may be the begin of a value is held back until
// it is known, or until Close.
type Redactor struct {
	to     io.Writer
	values [][]byte  // all forms, the longest first
	begins [256]bool // the first bytes of them
	most   int       // length of the longest
	held   []byte    // not passed on yet
	err    error     // of to
}

// NewRedactor returns a Redactor of values. Those shorter than 4 bytes are not
// redacted.
func NewRedactor(to io.Writer, values []string) *Redactor {
	r := &Redactor{to: to}
	seen := map[string]bool{}
	for _, v := range values {
		for _, form := range forms(v) {
			if len(form) >= minSecret && !seen[form] {
				seen[form] = true
				r.values = append(r.values, []byte(form))
				r.begins[form[0]] = true
			}
		}
	}
	slices.SortFunc(r.values, func(a, b []byte) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b))
	})
	if len(r.values) > 0 {
		r.most = len(r.values[0])
	}
	return r
}

// Write takes b. It fails only as the writer behind it does, and then for good.
func (r *Redactor) Write(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(r.values) == 0 {
		return r.to.Write(b)
	}
	r.held = append(r.held, b...)
	r.pass(false)
	if r.err != nil {
		return 0, r.err
	}
	return len(b), nil
}

// Close passes on what was held back. It does not close the writer behind it.
func (r *Redactor) Close() error {
	r.pass(true)
	return r.err
}

// pass passes on all of what is held of which it is known that it is no value;
// all of it when nothing follows.
func (r *Redactor) pass(last bool) {
	done, i := 0, 0
	for i < len(r.held) {
		if !r.begins[r.held[i]] {
			i++
			continue
		}
		n, open := r.match(r.held[i:])
		if open && !last {
			break
		}
		if n == 0 {
			i++
			continue
		}
		r.put(r.held[done:i])
		r.put([]byte(Redacted))
		i += n
		done = i
	}
	r.put(r.held[done:i])
	r.held = append(r.held[:0], r.held[i:]...)
}

// match returns the length of the longest value that b begins with, 0 for none.
// It is open when b is the begin of a longer one.
func (r *Redactor) match(b []byte) (n int, open bool) {
	for _, v := range r.values {
		if bytes.HasPrefix(b, v) {
			return len(v), open
		}
		open = open || len(b) < len(v) && bytes.HasPrefix(v, b)
	}
	return 0, open
}

func (r *Redactor) put(b []byte) {
	if len(b) == 0 || r.err != nil {
		return
	}
	_, r.err = r.to.Write(b)
}

// forms are the ways in which a value may be printed.
func forms(v string) []string {
	if len(v) < minSecret {
		return nil
	}
	out := []string{v, url.QueryEscape(v), url.PathEscape(v)}
	for _, s := range out[1:] {
		out = append(out, lowerEscapes(s))
	}
	out = append(out, quoted(v, true), quoted(v, false))
	if cut := strings.TrimRight(v, "\r\n"); cut != v && len(cut) >= minSecret {
		out = append(out, cut)
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		out = append(out, encoded(enc, v)...)
	}
	return out
}

// quoted is v within the quotes of a JSON string.
func quoted(v string, html bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	if enc.Encode(v) != nil {
		return "" // text always has a JSON form
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// encoded are the parts of base64 texts that depend on v alone, for each of the
// places at which v may be in what was encoded.
func encoded(enc *base64.Encoding, v string) []string {
	var out []string
	for before := range 3 {
		text := enc.EncodeToString([]byte(strings.Repeat("\x00", before) + v))
		// The first characters depend on what is before v, the last on what is after.
		first := (before*8 + 5) / 6
		last := (before + len(v)) * 8 / 6
		if core := text[first:last]; len(core) >= minEncoded {
			out = append(out, core)
			if before == 0 && len(core) > base64Line {
				out = append(out, wrapped(core))
			}
		}
	}
	if text := enc.EncodeToString([]byte(v)); len(text) < minEncoded {
		out = append(out, text)
	}
	return out
}

// wrapped is s as base64(1) prints it.
func wrapped(s string) string {
	var b strings.Builder
	for len(s) > base64Line {
		b.WriteString(s[:base64Line])
		b.WriteByte('\n')
		s = s[base64Line:]
	}
	b.WriteString(s)
	return b.String()
}

// lowerEscapes writes the escapes of a URL with small letters.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}
