// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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

// request makes what is sent to the agent. done closes what its body is read from.
func (inv invocation) request(ctx context.Context, agent plan.ID, stdin io.Reader) (req *http.Request, done func() error, err error) {
	target, err := inv.target(agent)
	if err != nil {
		return nil, nil, err
	}
	body, err := inv.body(ctx, stdin)
	if err != nil {
		return nil, nil, err
	}
	req, err = http.NewRequestWithContext(ctx, strings.ToUpper(inv.method), target, body)
	if err != nil {
		return nil, nil, errors.Join(rejection{err}, body.Close())
	}
	if req.ContentLength = body.size; body.size == 0 {
		req.Body = http.NoBody
	}
	if err := inv.setHeaders(req); err != nil {
		return nil, nil, errors.Join(err, body.Close())
	}
	return req, body.Close, nil
}

// target is the URL of the agent. Its host is whoever answers.
func (inv invocation) target(agent plan.ID) (string, error) {
	base := dispatch.AgentsRoot + cmp.Or(agent.Namespace, plan.DefaultNamespace) + "/" + agent.Name
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
	if id == "" && req.Header.Get(dispatch.ExecutionHeader) == "" && req.Header.Get("X-Request-Id") == "" {
		id = newExecutionID() // so that it is known whatever becomes of the answer
	}
	return errors.Join(
		set("content-type", "Content-Type", contentType),
		set("trigger", dispatch.TriggerHeader, inv.trigger),
		set("id", dispatch.ExecutionHeader, id),
	)
}

// newExecutionID is a random UUID, as the daemon gives them to others.
func newExecutionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func headerValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// requestBody is the body of a request. Its size is -1 where that is not known.
type requestBody struct {
	io.ReadCloser
	size int64
}

func (inv invocation) body(ctx context.Context, stdin io.Reader) (requestBody, error) {
	switch file, isFile := strings.CutPrefix(inv.data, "@"); {
	case !inv.given || inv.data == "":
		return requestBody{http.NoBody, 0}, nil
	case inv.data == "-" || file == "-" && isFile:
		return bodyOf(ctx, io.NopCloser(stdin))
	case isFile:
		return fileBody(ctx, file)
	}
	return requestBody{io.NopCloser(strings.NewReader(inv.data)), int64(len(inv.data))}, nil
}

func fileBody(ctx context.Context, name string) (requestBody, error) {
	f, err := os.Open(name)
	if err != nil {
		return requestBody{}, rejectf("read the body: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return requestBody{}, errors.Join(rejectf("read the body: %w", err), f.Close())
	case info.IsDir():
		return requestBody{}, errors.Join(rejectf("read the body: %s is a folder", name), f.Close())
	case info.Mode().IsRegular() && info.Size() > 0:
		return requestBody{f, info.Size()}, nil
	}
	return bodyOf(ctx, f)
}

// bodyOf waits until there is something to be read, or it is known that there is
// nothing.
func bodyOf(ctx context.Context, from io.ReadCloser) (requestBody, error) {
	in := bufio.NewReader(from)
	peeked := make(chan error, 1)
	go func() { // a terminal cannot be left off: who does not wait for this any more ends the process
		_, err := in.Peek(1)
		peeked <- err
	}()
	select {
	case err := <-peeked:
		if errors.Is(err, io.EOF) {
			return requestBody{from, 0}, nil
		}
		if err != nil {
			return requestBody{}, errors.Join(rejectf("read the body: %w", err), from.Close())
		}
		return requestBody{struct {
			io.Reader
			io.Closer
		}{in, from}, -1}, nil
	case <-ctx.Done():
		return requestBody{}, rejectf("read the body: %w", context.Cause(ctx))
	}
}
