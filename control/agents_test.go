// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInvoke(t *testing.T) {
	c := serve(t, &fake{invoke: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/agents/default/away" {
			http.Redirect(w, r, "/agents/default/words", http.StatusFound)
			return
		}
		w.Header().Set("Trailer", "X-Clrk-Exit-Code")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("X-Clrk-Trigger")+" ")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Clrk-Exit-Code", "7")
	}})
	tests := []struct {
		path   string
		status int
		body   string
	}{
		{"/agents/default/words/a//b%2fc?q=1", http.StatusTeapot, "PUT /agents/default/words/a//b%2fc me data"},
		{"/agents/default/away", http.StatusFound, ""},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, tt.path, strings.NewReader("data"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Clrk-Trigger", "me")
			res, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || string(body) != tt.body {
				t.Errorf("got %d %q %v, want %d %q", res.StatusCode, body, err, tt.status, tt.body)
			}
			if res.StatusCode == http.StatusTeapot && res.Trailer.Get("X-Clrk-Exit-Code") != "7" {
				t.Errorf("trailer: got %v", res.Trailer)
			}
		})
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/pass", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := c.Do(req); err == nil {
		res.Body.Close()
		t.Error("what is no request for an agent was sent")
	}
}

// Who is rejected before the daemon has read the body is told why.
func TestInvokeIsRejectedEarly(t *testing.T) {
	c := serve(t, &fake{invoke: func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}})
	for range 50 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/agents/default/words", strings.NewReader(strings.Repeat("x", 4<<20)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != "too large\n" {
			t.Fatalf("got %q, %v", body, err)
		}
	}
}

// The daemon is told when the client of an execution goes away.
func TestInvokeIsCancelled(t *testing.T) {
	begun, gone := make(chan struct{}), make(chan struct{})
	c := serve(t, &fake{invoke: func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(gone)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/agents/default/words", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-begun
		cancel()
	}()
	res, err := c.Do(req)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err == nil {
		res.Body.Close()
	}
	<-gone
}

func TestExecutions(t *testing.T) {
	c := serve(t, &fake{})
	got, err := c.Executions(t.Context(), "default/words")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"in_flight":1}`, string(got)); diff != "" {
		t.Errorf("status (-want +got)\n%s", diff)
	}
	_, err = c.Executions(t.Context(), "a b/&")
	var no *Refusal
	if !errors.As(err, &no) || no.Text != "there is no TaskAgent a b/&" || no.Code != 2 {
		t.Errorf("got %v", err)
	}
}
