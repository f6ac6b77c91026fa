// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconcile/forge"
)

const hookSecret = "a-secret-of-some-length"

// secretFile writes a file that only its owner can read.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// serveWebhooks runs the listener and returns its address.
func serveWebhooks(t *testing.T, a *app, notify func()) string {
	t.Helper()
	server, listener, err := a.listenWebhooks(func() []forge.Watch { return []forge.Watch{{Path: "/acme.git", Ref: "main"}} }, notify)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return "http://" + listener.Addr().String()
}

func deliver(t *testing.T, url, secret, body string) int {
	t.Helper()
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Reconcile-Signature-256", "sha256="+hex.EncodeToString(m.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestWebhookListener(t *testing.T) {
	var said strings.Builder
	file := secretFile(t, hookSecret+"\n")
	a := &app{std: stdio{err: &said}, webhook: webhookFlags{listen: "127.0.0.1:0", secretFile: file}}
	notified := 0
	base := serveWebhooks(t, a, func() { notified++ })

	check := func(what string, got, want, notifications int) {
		t.Helper()
		if got != want || notified != notifications {
			t.Errorf("%s: %d with %d notifications, want %d with %d", what, got, notified, want, notifications)
		}
	}
	check("a delivery", deliver(t, base+"/webhook", hookSecret, `{"ref":"refs/heads/main","id":1}`), 202, 1)
	check("another path", deliver(t, base+"/metrics", hookSecret, `{"ref":"refs/heads/main","id":2}`), 404, 1)
	check("another secret", deliver(t, base+"/webhook", "of-somebody-else-then", `{"ref":"refs/heads/main","id":3}`), 403, 1)

	// A secret is changed without a restart.
	if err := os.WriteFile(file, []byte("of-somebody-else-then"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("the new secret", deliver(t, base+"/webhook", "of-somebody-else-then", `{"ref":"refs/heads/main","id":4}`), 202, 2)
	check("the old secret", deliver(t, base+"/webhook", hookSecret, `{"ref":"refs/heads/main","id":5}`), 403, 2)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	check("no secret any more", deliver(t, base+"/webhook", "", `{"ref":"refs/heads/main","id":6}`), 404, 2)
	if strings.Contains(said.String(), hookSecret) || strings.Contains(said.String(), "of-somebody-else-then") {
		t.Errorf("a secret shows in %q", said.String())
	}
}

func TestWebhooksWithoutSecret(t *testing.T) {
	var said strings.Builder
	a := &app{std: stdio{err: &said}, webhook: webhookFlags{listen: "127.0.0.1:0"}}
	base := serveWebhooks(t, a, func() { t.Error("notified") })
	if got := deliver(t, base+"/webhook", "", `{"ref":"refs/heads/main"}`); got != 404 {
		t.Errorf("got %d", got)
	}
	if want := "warning: --webhook-listen without --webhook-secret-file: the endpoint is off and answers 404\n"; said.String() != want {
		t.Errorf("said %q", said.String())
	}
}

func TestWebhookFlags(t *testing.T) {
	short := secretFile(t, "short")
	public := secretFile(t, hookSecret)
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	lines := secretFile(t, hookSecret+"\nand more")
	for name, c := range map[string]struct {
		flags webhookFlags
		want  string
	}{
		"no listener":             {webhookFlags{}, ""},
		"a secret alone":          {webhookFlags{secretFile: short}, "--webhook-secret-file needs --webhook-listen"},
		"a short secret":          {webhookFlags{listen: ":0", secretFile: short}, "has fewer than 16 characters"},
		"a secret for everybody":  {webhookFlags{listen: ":0", secretFile: public}, "can be read by everybody: chmod 600 it"},
		"a secret of lines":       {webhookFlags{listen: ":0", secretFile: lines}, "is not one line of at most 4096 characters"},
		"a secret that is not":    {webhookFlags{listen: ":0", secretFile: "/nowhere/at/all"}, "no such file"},
		"an address that is none": {webhookFlags{listen: "nowhere:at:all", secretFile: secretFile(t, hookSecret)}, "--webhook-listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{std: stdio{err: new(strings.Builder)}, webhook: c.flags}
			server, listener, err := a.listenWebhooks(func() []forge.Watch { return nil }, func() {})
			if listener != nil {
				listener.Close()
			}
			switch {
			case server != nil || listener != nil:
				t.Error("it listens")
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case err != nil && strings.Contains(err.Error(), hookSecret):
				t.Errorf("the secret shows in %v", err)
			}
		})
	}
}

// Strangers who connect and say nothing do not take more than their share.
func TestWebhookConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := boundedListener{inner, make(chan struct{}, 2)}
	accepted := make(chan net.Conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	var first net.Conn
	for i := range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i == 0 {
			first = <-accepted
		} else if i == 1 {
			defer (<-accepted).Close()
		}
	}
	select {
	case <-accepted:
		t.Error("a third connection is accepted")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives its place back once
	(<-accepted).Close()
	inner.Close()
	<-done
	if len(l.slots) > 1 {
		t.Errorf("%d places are taken", len(l.slots))
	}
}
