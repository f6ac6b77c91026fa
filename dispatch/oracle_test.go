// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/binding"
	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// The SDK of CloudEvents takes what we write for what was sent: envelopes, both
// forms of the metadata service, and replies. It knows no JSON but application/json,
// so that other types of it are left out.
func TestEventsBySDK(t *testing.T) {
	for _, c := range []struct{ contentType, body string }{
		{"", ""},
		{"", "{}"},
		{"application/json", `{"a": [1, 2.50, 12345678901234567890]}`},
		{"text/plain; charset=utf-8", "a <b> \"c\"\n"},
		{"text/plain", "\xff\x00"},
		{"image/png", "\x89PNG\r\n\x1a\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			var structured, binary dispatchtest.Response
			l.mem.Programs["asks"] = func(p *dispatchtest.Process) int {
				var err error
				if structured, err = p.Request("GET", p.Env["CLRK_METADATA_URL"]+"/event", "", nil, "Accept", "application/cloudevents+json"); err != nil {
					t.Error(err)
				}
				if binary, err = p.Request("GET", p.Env["CLRK_METADATA_URL"]+"/event", "", nil); err != nil {
					t.Error(err)
				}
				_, _ = io.Copy(p.Stdout, p.Stdin)
				return 0
			}
			l.mem.Programs["posts"] = func(p *dispatchtest.Process) int { return post(p, c.contentType, c.body) }
			posts := agent("posts", "posts")
			posts.Mode = plan.DeliverMetadata
			l.set(agent("a", "asks"), posts)
			synctest.Wait()
			envelope := text(t, l.do(request("POST", "a", c.body, "Content-Type", c.contentType, "ce-tenant", "acme", "X-Clrk-Trigger", "http")))
			for name, res := range map[string]*http.Response{
				"envelope":   message(200, http.Header{"Content-Type": {"application/cloudevents+json"}}, envelope),
				"structured": message(structured.Status, structured.Header, structured.Body),
				"binary":     message(binary.Status, binary.Header, binary.Body),
				"reply":      l.do(request("POST", "posts", "", "Accept", "application/cloudevents+json")),
			} {
				e, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpResponse(res))
				if err != nil {
					t.Errorf("%s of %q: %v", name, c, err)
					continue
				}
				if err := e.Validate(); err != nil {
					t.Errorf("%s of %q: %v", name, c, err)
				}
				checkEvent(t, name, *e, c.contentType, c.body)
			}
		})
	}
}

func message(status int, h http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func checkEvent(t *testing.T, name string, e cloudevents.Event, contentType, body string) {
	t.Helper()
	data := e.Data()
	if name == "reply" {
		if e.Type() != "dev.apoxy.clrk.taskagent.response" || e.Source() != "clrk://default/posts" {
			t.Errorf("%s: %s of %s", name, e.Type(), e.Source())
		}
		if contentType == "" {
			contentType = "application/octet-stream"
		}
	} else if e.Type() != "dev.apoxy.clrk.taskagent.invoke" || e.Subject() != "http" || e.Extensions()["tenant"] != "acme" || e.Extensions()["clrkrevision"] != "a-00001" {
		t.Errorf("%s: %v", name, e)
	}
	if body != "" && e.DataContentType() != contentType {
		t.Errorf("%s: it is %q, want %q", name, e.DataContentType(), contentType)
	}
	// In JSON the SDK keeps the string of a text in its quotes where it does not take
	// that for text.
	var quoted string
	if !bytes.Equal(data, []byte(body)) && (json.Unmarshal(data, &quoted) != nil || quoted != body) {
		t.Errorf("%s of %q: the data is %q", name, body, data)
	}
}

// Whatever a request says, its envelope is one JSON object with the attributes that
// are ours, and its body comes back out of it.
func FuzzEnvelope(f *testing.F) {
	f.Add("application/json", []byte(`{"a":1}`), "http", "ce-x", "a%20b", "q=1")
	f.Add("text/plain", []byte("a\xff"), "", "ce-data", "x", "%zz")
	f.Add("", []byte("{"), "\x00", "ce-Specversion", "%0a", "a b")
	f.Add("a/b;;+json", []byte("null"), "é", "ce-", "\"", "<>&")
	for _, t := range []string{"text/x", "TEXT/HTML", " application/JSON ; x", "application/x+json;a=\"b"} {
		f.Add(t, []byte(`"\ud800"`), "cron", "ce-time", "1", "")
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte, trigger, header, value, query string) {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			l.set(agent("a", dispatchtest.Cat))
			synctest.Wait()
			req := request("POST", "a", string(body))
			req.URL = &url.URL{Path: "/agents/default/a", RawQuery: query}
			req.Header = http.Header{
				"Content-Type": {contentType}, "X-Clrk-Trigger": {trigger}, http.CanonicalHeaderKey(header): {value},
				http.CanonicalHeaderKey(dispatch.ExecutionHeader): {"x1"},
			}
			res := l.do(req)
			got := text(t, res)
			switch res.StatusCode {
			case 200:
			case 400:
				return
			default:
				t.Fatalf("%s: %s", res.Status, got)
			}
			var e struct {
				SpecVersion, ID, Source, Type, Subject, Time, HTTPQuery, DataContentType string

				Data   json.RawMessage
				Base64 []byte `json:"data_base64"`
			}
			if err := json.Unmarshal([]byte(got), &e); err != nil || !utf8.ValidString(got) {
				t.Fatalf("%v in %s", err, got)
			}
			if e.SpecVersion != "1.0" || e.ID != "x1" || e.Source != "clrk://default/a" || e.Type != "dev.apoxy.clrk.taskagent.invoke" ||
				e.Time != epoch || e.Subject != req.Header.Get("X-Clrk-Trigger") || e.HTTPQuery != query || e.DataContentType != req.Header.Get("Content-Type") {
				t.Errorf("the envelope is %s", got)
			}
			var s string
			back := bytes.Equal(e.Base64, body) || bytes.Equal(e.Data, bytes.TrimSpace(body)) || json.Unmarshal(e.Data, &s) == nil && s == string(body)
			if !back {
				t.Errorf("the body %q is not in %s", body, got)
			}
		})
	})
}
