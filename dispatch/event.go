// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The media type of an event that is one JSON object, and the types of ours.
const (
	eventMedia   = "application/cloudevents+json"
	typeInvoke   = "dev.apoxy.clrk.taskagent.invoke"
	typeResponse = "dev.apoxy.clrk.taskagent.response"
)

// event is a CloudEvent 1.0.
type event struct {
	id, source, kind string
	subject          string // "" = none
	time             time.Time
	contentType      string // of body, as it was sent; "" = none
	extensions       []attribute
	body             []byte
	form             form
}

// attribute is one of an event, by its name in lower case.
type attribute struct {
	name  string
	value any // a string or an int
}

// form is how the JSON of an event holds the body.
type form int

const (
	formNone    form = iota // there is none
	formJSON                // data, as it is
	formText                // data, a string
	formEncoded             // data_base64
)

// formOf says how a body of a media type is held. It does not look whether that
// of JSON is.
func formOf(contentType string, body []byte) form {
	media := mediaOf(contentType)
	switch {
	case len(body) == 0:
		return formNone
	case isJSON(media):
		return formJSON
	case strings.HasPrefix(media, "text/") && utf8.Valid(body):
		return formText
	}
	return formEncoded
}

// mediaOf is the media type without its parameters.
func mediaOf(contentType string) string {
	if media, _, err := mime.ParseMediaType(contentType); err == nil {
		return media
	}
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// attributes are those of e in the order in which they are written.
func (e *event) attributes() []attribute {
	list := append(make([]attribute, 0, 7+len(e.extensions)),
		attribute{"specversion", "1.0"}, attribute{"id", e.id}, attribute{"source", e.source}, attribute{"type", e.kind})
	if e.subject != "" {
		list = append(list, attribute{"subject", e.subject})
	}
	list = append(list, attribute{"time", e.time.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)})
	if e.contentType != "" {
		list = append(list, attribute{"datacontenttype", e.contentType})
	}
	return append(list, e.extensions...)
}

// reserved reports whether no extension of a request may have a name.
func reserved(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64",
		"clrkrevision", "httpmethod", "httpurl", "httpquery":
		return true
	}
	return false
}

// writeJSON writes e as one JSON object: in one write, unless the body is large. That
// is copied as it goes.
func (e *event) writeJSON(to io.Writer) error {
	w := bufio.NewWriterSize(to, eventBuffer) // its errors stay until Flush
	head := make([]byte, 0, eventBuffer/2)
	for i, a := range e.attributes() {
		open := byte(',')
		if i == 0 {
			open = '{'
		}
		head = append(append(append(head, open, '"'), a.name...), '"') // letters and digits, or of ours
		head = appendValue(append(head, ':'), a.value)
	}
	_, _ = w.Write(head)
	switch e.form {
	case formJSON:
		_, _ = w.WriteString(`,"data":`)
		_, _ = w.Write(e.body)
	case formText:
		_, _ = w.Write(appendValue([]byte(`,"data":`), string(e.body)))
	case formEncoded:
		_, _ = w.WriteString(`,"data_base64":"`)
		enc := base64.NewEncoder(base64.StdEncoding, w)
		_, _ = enc.Write(e.body)
		_ = enc.Close()
		_ = w.WriteByte('"')
	}
	_, _ = w.WriteString("}\n")
	return w.Flush()
}

// eventBuffer has room for most events, in bytes.
const eventBuffer = 2 << 10

// appendValue appends a string or a number as JSON, with < > & as they are.
func appendValue(b []byte, v any) []byte {
	if s, ok := v.(string); ok && isPlain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	var w bytes.Buffer
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // neither fails
	return append(b, bytes.TrimSuffix(w.Bytes(), []byte("\n"))...)
}

// isPlain reports whether a text is the same in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// writeHeader sets the attributes as the headers of an HTTP message whose body is
// that of e.
func (e *event) writeHeader(h http.Header) {
	for _, a := range e.attributes() {
		if a.name == "datacontenttype" {
			continue
		}
		if s, ok := a.value.(string); ok {
			h.Set("Ce-"+a.name, escapeHeader(s))
		}
	}
	h["Content-Type"] = nil // it is not guessed
	if e.contentType != "" {
		h.Set("Content-Type", e.contentType)
	}
}

// escapeHeader and unescapeHeader are how CloudEvents carries text in headers of
// HTTP: a space, a quote, a percent sign, and what is no printable ASCII, are
// escaped.
func escapeHeader(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && c != '"' && c != '%' {
			b.WriteByte(c)
			continue
		}
		const hex = "0123456789ABCDEF"
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

func unescapeHeader(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c |= 0x20
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// accepts reports whether a client asks for a media type by its name.
func accepts(h http.Header, media string) bool {
	return slices.ContainsFunc(h.Values("Accept"), func(line string) bool {
		return slices.ContainsFunc(strings.Split(line, ","), func(one string) bool {
			name, params, err := mime.ParseMediaType(one)
			q := params["q"]
			return err == nil && name == media && (q == "" || strings.Trim(q, "0.") != "")
		})
	})
}

// validJSON reports whether a text is JSON, which is UTF-8.
func validJSON(b []byte) bool { return utf8.Valid(b) && json.Valid(b) }

func problemJSON(p problem) []byte {
	b, _ := json.Marshal(p) // it has strings only
	return b
}
