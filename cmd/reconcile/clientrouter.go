// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 64 << 20

// routerClient talks to instances through a router.
type routerClient struct {
	base  string // URL of the listener, without a / at the end
	token string
	// base transport of all requests.
	transport http.RoundTripper
}

// dialRouter finds the router. Nothing is sent yet.
func (a *app) dialRouter(ctx context.Context, f *clientFlags) (*routerClient, error) {
	c := &routerClient{transport: http.DefaultTransport.(*http.Transport).Clone()}
	if f.tokenFile != "" {
		token, err := readSecretFile(f.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token of the router: %w", err)
		}
		c.token = string(token)
	}
	if f.router != "" {
		u, err := url.Parse(f.router)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
			return nil, errors.New("--router: want http://HOST:PORT")
		}
		c.base = strings.TrimSuffix(u.String(), "/")
		return c, nil
	}
	at, err := locate(a.workspace)
	if err != nil {
		return nil, err
	}
	d, err := a.dialDaemon(ctx, at.root())
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, fmt.Errorf("no daemon runs %s: reconcile watch starts one, --router names one elsewhere", at.root())
	}
	st, err := d.Status(ctx)
	if err != nil {
		return nil, err
	}
	if c.base, err = listenerURL(st.Listen); err != nil {
		return nil, err
	}
	c.transport.(*http.Transport).Proxy = nil
	return c, nil
}

// listenerURL is where this host reaches a listener of its own.
func listenerURL(listen string) (string, error) {
	if listen == "" {
		return "", errors.New("the daemon has no router: it runs with --listen off")
	}
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return "", fmt.Errorf("the daemon listens on %q, which is no address", listen)
	}
	host := at.Addr()
	switch {
	case host.IsUnspecified() && host.Is4():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case host.IsUnspecified():
		host = netip.IPv6Loopback()
	}
	return "http://" + net.JoinHostPort(host.String(), fmt.Sprint(at.Port())), nil
}

// url is that of a path at an instance.
func (c *routerClient) url(name, path string) string {
	return c.base + dispatch.Root + "/" + url.PathEscape(name) + path
}

// routerError is what a router says instead of an instance.
type routerError struct {
	Text string `json:"error"`
	Code string `json:"code"`
}

func (e *routerError) Error() string { return e.Text }

// conversation is the way of some requests through the router. It is for one
// goroutine after the other.
type conversation struct {
	client *routerClient
	code   int          // of the last answer; 0 = none
	said   *routerError // by the router, in the last answer
	kind   string       // media type of the last answer
}

// noMCP reports whether the last answer is of an agent that does not know MCP.
func (c *conversation) noMCP() bool {
	switch {
	case c.said != nil:
		return false
	case c.code/100 == 2 && c.code != http.StatusAccepted:
		return c.kind != "application/json" && c.kind != "text/event-stream"
	}
	return noSuch(c.code)
}

// http returns a client whose requests are of the conversation. It follows no
// redirect to somebody else, who would get the token.
func (c *conversation) http() *http.Client {
	return &http.Client{Transport: c, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
			return fmt.Errorf("the agent leads to another host, %s", req.URL.Host)
		}
		if len(via) >= 10 {
			return errors.New("the agent leads from one place to the next")
		}
		return nil
	}}
}

// RoundTrip sends a request; what the router says of it is an error.
func (c *conversation) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.client.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+c.client.token)
	}
	res, err := c.client.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	c.code, c.said = res.StatusCode, nil
	c.kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.Header.Get(dispatch.ErrorHeader) == "" {
		return res, nil
	}
	defer res.Body.Close()
	said := &routerError{}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(said); err != nil || said.Text == "" {
		said.Text = "the router answered " + res.Status
	}
	c.said = said
	return nil, said
}

// explain makes an error of the conversation one for a person.
func (c *conversation) explain(what string, err error) error {
	switch {
	case c.said != nil && c.code == http.StatusUnauthorized:
		return errors.New("the router asks for a token: name its file with --router-token-file")
	case c.said != nil:
		return errors.New(c.said.Text)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the rest repeats the address
	}
	return fmt.Errorf("%s: %w", what, err)
}

// reply is what an agent answered.
type reply struct {
	code   int
	status string // the code in words
	body   []byte
}

func (r reply) exit() int {
	if r.code/100 == 2 {
		return plan.ExitDone
	}
	return plan.ExitFault
}

// noSuch reports whether an agent that answers so has nothing at that path.
func noSuch(code int) bool {
	return code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented
}

func (c *routerClient) get(ctx context.Context, name, path string) (reply, error) {
	return c.do(ctx, http.MethodGet, c.url(name, path), nil)
}

func (c *routerClient) post(ctx context.Context, name, path string, body []byte) (reply, error) {
	return c.do(ctx, http.MethodPost, c.url(name, path), body)
}

func (c *routerClient) do(ctx context.Context, method, url string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	talk := &conversation{client: c}
	res, err := talk.http().Do(req)
	if err != nil {
		return reply{}, talk.explain("ask the router", err)
	}
	defer res.Body.Close()
	out := reply{code: res.StatusCode, status: res.Status}
	if out.body, err = io.ReadAll(io.LimitReader(res.Body, maxReply+1)); err != nil {
		return reply{}, fmt.Errorf("read the answer: %w", err)
	}
	if len(out.body) > maxReply {
		return reply{}, fmt.Errorf("the answer is larger than %d bytes", maxReply)
	}
	return out, nil
}

// instances lists what the router knows.
func (c *routerClient) instances(ctx context.Context) ([]dispatch.Listed, error) {
	r, err := c.do(ctx, http.MethodGet, c.base+dispatch.Root, nil)
	if err != nil {
		return nil, err
	}
	var list dispatch.List
	if r.code != http.StatusOK || json.Unmarshal(r.body, &list) != nil {
		return nil, fmt.Errorf("the router answered %s", r.status)
	}
	return list.Instances, nil
}
