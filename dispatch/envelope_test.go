// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
)

const epoch = "2000-01-01T00:00:00Z" // the begin of a bubble

// What a process reads is this, byte for byte.
func TestEnvelope(t *testing.T) {
	head := func(rest string) string {
		return `{"specversion":"1.0","id":"x1","source":"clrk://default/dump","type":"dev.apoxy.clrk.taskagent.invoke",` + rest
	}
	ext := func(method, url, query string) string {
		return `"clrkrevision":"dump-00001","httpmethod":"` + method + `","httpurl":"` + url + `","httpquery":"` + query + `"`
	}
	usual := ext("POST", "/agents/default/dump", "")
	at := `"time":"` + epoch + `",`
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		want               string
		hint               string
	}{
		"word count": {
			path: "/", body: `{"text":"hello world from clrk"}`,
			header: []string{"X-Clrk-TaskAgent", "default/dump", "X-Clrk-Trigger", "http", "content-type", "application/json"},
			want:   head(`"subject":"http",` + at + `"datacontenttype":"application/json",` + ext("POST", "/", "") + `,"data":{"text":"hello world from clrk"}}`),
		},
		"empty":            {method: "GET", want: head(at + ext("GET", "/agents/default/dump", "") + `}`)},
		"empty with type":  {header: []string{"Content-Type", "application/json"}, want: head(at + `"datacontenttype":"application/json",` + usual + `}`)},
		"path and query":   {path: "/agents/default/dump/a%2Fb?x=1&y=<2>", want: head(at + ext("POST", "/agents/default/dump/a%2Fb", "x=1&y=<2>") + `}`)},
		"large number":     {body: `{"n":123456789012345678901234567890.10,"n":1}`, header: []string{"Content-Type", "application/vnd.x+json; charset=utf-8"}, want: head(at + `"datacontenttype":"application/vnd.x+json; charset=utf-8",` + usual + `,"data":{"n":123456789012345678901234567890.10,"n":1}}`)},
		"text":             {body: "a <b> \"c\"\n\x00ü", header: []string{"Content-Type", "Text/Plain;charset=x"}, want: head(at + `"datacontenttype":"Text/Plain;charset=x",` + usual + `,"data":"a <b> \"c\"\n\u0000ü"}`)},
		"text not UTF-8":   {body: "a\xff", header: []string{"Content-Type", "text/plain"}, want: head(at + `"datacontenttype":"text/plain",` + usual + `,"data_base64":"Yf8="}`)},
		"binary":           {body: "{}", header: []string{"Content-Type", "image/png"}, want: head(at + `"datacontenttype":"image/png",` + usual + `,"data_base64":"e30="}`)},
		"broken type":      {body: "{}", header: []string{"Content-Type", ";;"}, want: head(at + `"datacontenttype":";;",` + usual + `,"data_base64":"e30="}`)},
		"form":             {body: "a=1", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, want: head(at + `"datacontenttype":"application/x-www-form-urlencoded",` + usual + `,"data_base64":"YT0x"}`), hint: "the Content-Type of the request is application/x-www-form-urlencoded, so its body is in data_base64; with application/json or text/plain it is in data"},
		"no type":          {body: `{"a":1}`, want: head(at + usual + `,"data_base64":"eyJhIjoxfQ=="}`), hint: "the request has no Content-Type, so its body is in data_base64; with application/json or text/plain it is in data"},
		"forged":           {header: forged(), want: head(at + usual + `}`)},
		"extensions":       {header: []string{"ce-traceparent", "00-1", "CE-Tenant", "a%20b%C3%BC", "ce-tenant", "c"}, want: head(at + usual + `,"tenant":"a bü, c","traceparent":"00-1"}`)},
		"no attribute":     {header: []string{"ce-trace_parent", "1"}, want: head(at + usual + `}`), hint: "ce-trace_parent is left out: the name of an attribute has letters and digits only"},
		"id of others":     {header: []string{"X-Clrk-Execution-ID", "", "x-request-id", "x1"}, want: head(at + usual + `}`)},
		"another's not it": {header: []string{"x-request-id", "x2"}, want: head(at + usual + `}`)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, nil)
				l.set(agent("dump", dispatchtest.Cat))
				synctest.Wait()
				method := c.method
				if method == "" {
					method = "POST"
				}
				req := request(method, "dump", c.body)
				if c.path != "" {
					u, err := req.URL.Parse(c.path)
					if err != nil {
						t.Fatal(err)
					}
					req.URL = u
				}
				req.Header.Set(dispatch.ExecutionHeader, "x1")
				for i := 0; i+1 < len(c.header); i += 2 {
					if http.CanonicalHeaderKey(c.header[i]) == http.CanonicalHeaderKey(dispatch.ExecutionHeader) {
						req.Header.Del(dispatch.ExecutionHeader)
						continue
					}
					req.Header.Add(c.header[i], c.header[i+1])
				}
				res := l.do(req)
				got := text(t, res)
				if res.StatusCode != 200 {
					t.Fatalf("%s: %s", res.Status, got)
				}
				if diff := cmp.Diff(c.want+"\n", got); diff != "" {
					t.Errorf("envelope (-want +got)\n%s", diff)
				}
				if !json.Valid([]byte(got)) {
					t.Error("it is no JSON")
				}
				if hint := res.Header.Get(dispatch.HintHeader); hint != c.hint {
					t.Errorf("hint %q, want %q", hint, c.hint)
				}
				if id := res.Header.Get(dispatch.ExecutionHeader); id != "x1" {
					t.Errorf("the answer is of execution %q", id)
				}
			})
		})
	}
}

// forged are headers with all the names that are taken.
func forged() []string {
	var h []string
	for name := range strings.FieldsSeq("specversion id source type subject time datacontenttype data data_base64 clrkrevision httpmethod httpurl httpquery") {
		h = append(h, "ce-"+name, "forged")
	}
	return h
}

// An execution has one id everywhere, and an own one where nobody chose it.
func TestExecutionID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.set(agent("dump", dispatchtest.Cat))
		synctest.Wait()
		seen := map[string]bool{}
		for _, chosen := range []string{"", "x-1", "", strings.Repeat("a", 128)} {
			res := l.do(request("POST", "dump", "", dispatch.ExecutionHeader, chosen, "X-Request-Id", "with space"))
			var e struct{ ID string }
			if err := json.Unmarshal([]byte(text(t, res)), &e); err != nil {
				t.Fatal(err)
			}
			id := res.Header.Get(dispatch.ExecutionHeader)
			if e.ID == "" || e.ID != id || chosen != "" && id != chosen || seen[id] {
				t.Errorf("chosen %q, in the header %q, in the envelope %q", chosen, id, e.ID)
			}
			synctest.Wait()
			if last := l.last("dump"); last.ID != id {
				t.Errorf("status has %q, want %q", last.ID, id)
			}
			seen[id] = true
		}
	})
}
