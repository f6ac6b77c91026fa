// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// heed is what the answers of a remote tell beside their content. go-git's
// errors lose some of it.
type heed struct {
	max     int64  // bytes of one answer
	login   bool   // there are credentials for it
	advice  string // what to do when it wants to know who asks
	mu      sync.Mutex
	large   bool   // an answer had more than max
	page    bool   // an answer was none of a git server
	status  int    // of the last HTTP answer
	said    string // first line of what the program at the other end of ssh complained about
	hostKey error  // why the server's key is not accepted
}

// maxComplaint is how much is read of an answer that says what is wrong.
const maxComplaint = 64 << 10

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   30 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// dialHTTP speaks the smart HTTP protocol. Only the listing may be redirected;
// go-git drops the credentials on the way to another scheme, host or port.
func (s *Store) dialHTTP(u URL, src Source) (remote, error) {
	login, ok, err := s.opt.Auth.login(u, src.SecretRef)
	if err != nil {
		return nil, err
	}
	h := &heed{max: s.opt.MaxBytes, login: ok, advice: s.opt.Auth.advice(u)}
	client := githttp.NewClientWithOptions(&http.Client{Transport: &heedful{base: s.http, heed: h}},
		&githttp.ClientOptions{RedirectPolicy: githttp.FollowInitialRedirects})
	var auth transport.AuthMethod
	if ok {
		auth = &githttp.BasicAuth{Username: login.user, Password: login.password}
	}
	return &conversation{u: u, heed: h, open: func(context.Context) (session, error) {
		return client.NewUploadPackSession(u.endpoint(), auth)
	}}, nil
}

// endpoint is made of the parts that were checked; go-git's own parser takes
// other things for URLs.
func (u URL) endpoint() *transport.Endpoint {
	host := u.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	ep := &transport.Endpoint{Protocol: u.Scheme, Host: host, Path: u.escapedPath()}
	if u.Port != "" {
		ep.Port = port(u.Port)
	}
	return ep
}

// heedful is a transport that notes what it sees and limits what it reads.
type heedful struct {
	base http.RoundTripper
	heed *heed
}

func (t *heedful) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	t.heed.answered(res.StatusCode)
	if res.StatusCode < 200 || res.StatusCode > 299 {
		res.Body = closer{io.LimitReader(res.Body, maxComplaint), res.Body}
		return res, nil
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-git-upload-pack-") {
		_ = res.Body.Close()
		t.heed.sawPage()
		return nil, errNoGitServer
	}
	res.Body = closer{t.heed.limit(res.Body), res.Body}
	return res, nil
}

type closer struct {
	io.Reader
	io.Closer
}

func (h *heed) answered(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *heed) sawPage() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.page = true
}

// limit lets at most h.max bytes of one answer through.
func (h *heed) limit(r io.Reader) io.Reader {
	return &limited{r: r, heed: h, left: h.max + 1}
}

type limited struct {
	r    io.Reader
	heed *heed
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.heed.mu.Lock()
		l.heed.large = true
		l.heed.mu.Unlock()
		return 0, ErrTooLarge
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
