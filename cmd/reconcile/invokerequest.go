// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// jsonType is the type of a body of which nothing else is said.
const jsonType = "application/json"

// request makes what is sent to the agent. It can be sent again.
func (inv invocation) request(ctx context.Context, agent plan.ID, stdin io.Reader) (*http.Request, error) {
	if !headerName(inv.method) {
		return nil, rejectf("--request: %q is no method of HTTP", inv.method)
	}
	target, err := inv.target(agent)
	if err != nil {
		return nil, err
	}
	body, err := inv.body(ctx, stdin)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, strings.ToUpper(inv.method), target, bytes.NewReader(body))
	if err != nil {
		return nil, rejection{err}
	}
	return req, inv.setHeaders(req)
}

// target is the URL of the agent. Its host is whoever answers.
func (inv invocation) target(agent plan.ID) (string, error) {
	base := dispatch.AgentsRoot + agent.NamespacedName()
	if inv.path == "" {
		return "http://agent" + base, nil
	}
	rest := inv.path
	if !strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "?") {
		rest = "/" + rest
	}
	u, err := url.Parse("http://agent" + base + rest)
	if err != nil || u.Fragment != "" || strings.ContainsAny(rest, " \t\r\n") {
		return "", rejectf("--path: %q is no path of a URL", inv.path)
	}
	return u.String(), nil
}

// setHeaders sets the headers that flags ask for; a flag of its own wins.
func (inv invocation) setHeaders(req *http.Request) error {
	for _, h := range inv.headers {
		name, value, ok := strings.Cut(h, ":")
		value = strings.Trim(value, " \t")
		if !ok || !headerName(name) || !headerValue(value) {
			return rejectf("--header: want NAME: VALUE")
		}
		req.Header.Add(name, value)
	}
	set := func(flag, name, value string) error {
		if value == "" {
			return nil
		}
		if !headerValue(value) {
			return rejectf("--%s: %q is no value of a header", flag, value)
		}
		req.Header.Set(name, value)
		return nil
	}
	contentType := inv.contentType
	if !inv.typed && (req.ContentLength == 0 || req.Header.Get("Content-Type") != "") {
		contentType = ""
	}
	id := inv.id
	if id == "" && req.Header.Get(dispatch.ExecutionHeader) == "" && req.Header.Get(dispatch.RequestIDHeader) == "" {
		id = dispatch.NewExecutionID() // so that it is known whatever becomes of the answer
	}
	return errors.Join(
		set("content-type", "Content-Type", contentType),
		set("trigger", dispatch.TriggerHeader, inv.trigger),
		set("id", dispatch.ExecutionHeader, id),
	)
}

func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func headerValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// maxBody bounds what is read of a body, in bytes: more than any agent takes.
const maxBody = 33 << 20

// body is all of the body: its agent does not begin before it has that.
func (inv invocation) body(ctx context.Context, stdin io.Reader) ([]byte, error) {
	file, isFile := strings.CutPrefix(inv.data, "@")
	switch {
	case !inv.given:
		return nil, nil
	case inv.data == "-" || isFile && file == "-":
		return readBody(ctx, stdin)
	case !isFile:
		return []byte(inv.data), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, rejectf("read the body: %w", err)
	}
	body, err := readBody(ctx, f)
	if ctx.Err() != nil {
		return nil, err // it may be a pipe that is still read
	}
	return body, errors.Join(err, f.Close())
}

// readBody reads until the end, or until ctx ends.
func readBody(ctx context.Context, from io.Reader) ([]byte, error) {
	type result struct {
		body []byte
		err  error
	}
	read := make(chan result, 1)
	go func() { // a terminal cannot be left off: who does not wait for this any more ends the process
		body, err := io.ReadAll(io.LimitReader(from, maxBody))
		read <- result{body, err}
	}()
	select {
	case r := <-read:
		if r.err != nil {
			return nil, rejectf("read the body: %w", r.err)
		}
		return r.body, nil
	case <-ctx.Done():
		return nil, rejectf("read the body: %w", context.Cause(ctx))
	}
}
