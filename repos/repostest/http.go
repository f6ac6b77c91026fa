// SPDX-License-Identifier: Apache-2.0

package repostest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// HTTPOptions say who is let in; nobody has to log in when all are empty.
type HTTPOptions struct {
	User, Password string // basic authentication
	Token          string // as a bearer token, or as the password of any user
	TLS            bool   // https, see Certificate
	// Push lets clients push, too.
	Push bool
}

// Fault is what a server does wrong. The zero Fault is nothing.
type Fault struct {
	Stall    bool          // requests are read and never answered
	Delay    time.Duration // before each answer
	Truncate int64         // the answer with the pack breaks off after this many bytes
	Status   int           // all requests are answered with it
	HTML     bool          // all requests are answered with a web page, with Status, or 200
	Redirect string        // requests are sent on to this base URL
	Times    int           // only so many requests are treated so; 0 = all
}

// Request is one request that a server got.
type Request struct {
	Method, Path, Query string
	Authorization       string // the header
}

// HTTPServer serves the bare repositories below Root by the smart HTTP
// protocol. Each is at URL/NAME.git.
type HTTPServer struct {
	Root string
	URL  string // without credentials
	// Certificate is a PEM file with the authority of a server with TLS.
	Certificate string

	opt  HTTPOptions
	cgi  *cgi.Handler
	done chan struct{} // closed when the test ends

	mu       sync.Mutex
	fault    Fault
	requests []Request
}

// HTTP starts a server that ends with the test.
func HTTP(t testing.TB, o HTTPOptions) *HTTPServer {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatalf("the git program is needed: %v", err)
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &HTTPServer{Root: root, opt: o, done: make(chan struct{})}
	s.cgi = &cgi.Handler{
		Path:   git,
		Args:   []string{"http-backend"},
		Env:    append(Env(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+o.User),
		Stderr: io.Discard,
		Logger: quiet(),
	}
	if o.Push {
		s.cgi.Env = append(s.cgi.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true")
	}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = quiet()
	if o.TLS {
		server.StartTLS()
		s.Certificate = certificate(t, server.Certificate())
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		close(s.done)
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

// Repo makes an empty repository.
func (s *HTTPServer) Repo(t testing.TB, name string) *Repo {
	t.Helper()
	r := NewRepo(t, filepath.Join(s.Root, name+".git"))
	r.URL = s.URL + "/" + name + ".git"
	return r
}

// Break changes what the server does wrong from now on.
func (s *HTTPServer) Break(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Requests returns the requests since the last call, and forgets them.
func (s *HTTPServer) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// Listings counts the requests of a list that ask for the references.
func Listings(requests []Request) int {
	return count(requests, func(r Request) bool { return strings.HasSuffix(r.Path, "/info/refs") })
}

// Packs counts the requests of a list that ask for objects.
func Packs(requests []Request) int {
	return count(requests, func(r Request) bool { return strings.HasSuffix(r.Path, "/git-upload-pack") })
}

func count(requests []Request, ok func(Request) bool) int {
	return len(slices.DeleteFunc(slices.Clone(requests), func(r Request) bool { return !ok(r) }))
}

func (s *HTTPServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.note(r)
	// CGI wants to know the length; a client may send it in chunks.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if f.Stall {
		s.wait(r, 0)
		return
	}
	if f.Delay > 0 && !s.wait(r, f.Delay) {
		return
	}
	switch {
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect+r.URL.RequestURI(), http.StatusFound)
	case f.HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(max(f.Status, http.StatusOK))
		_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title><p>Welcome!\n")
	case f.Status != 0:
		if f.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		}
		http.Error(w, http.StatusText(f.Status), f.Status)
	case !s.allowed(r):
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case f.Truncate > 0 && strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
		s.cgi.ServeHTTP(&cut{ResponseWriter: w, left: f.Truncate}, r)
		panic(http.ErrAbortHandler)
	default:
		s.cgi.ServeHTTP(w, r)
	}
}

// note records a request and returns how it is treated.
func (s *HTTPServer) note(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Authorization: r.Header.Get("Authorization"),
	})
	f := s.fault
	if f.Times == 1 {
		s.fault = Fault{}
	} else if f.Times > 1 {
		s.fault.Times--
	}
	return f
}

// wait returns false when the client has gone or the test has ended; 0 = for
// ever.
func (s *HTTPServer) wait(r *http.Request, d time.Duration) bool {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-timer:
		return true
	case <-r.Context().Done():
	case <-s.done:
	}
	return false
}

func (s *HTTPServer) allowed(r *http.Request) bool {
	if s.opt.User == "" && s.opt.Password == "" && s.opt.Token == "" {
		return true
	}
	user, password, basic := r.BasicAuth()
	if basic && s.opt.Password != "" && user == s.opt.User && password == s.opt.Password {
		return true
	}
	return s.opt.Token != "" && (basic && password == s.opt.Token || r.Header.Get("Authorization") == "Bearer "+s.opt.Token)
}

// cut breaks an answer off.
type cut struct {
	http.ResponseWriter
	left int64
}

func (c *cut) Write(p []byte) (int, error) {
	n := min(int64(len(p)), c.left)
	wrote, err := c.ResponseWriter.Write(p[:n])
	c.left -= int64(wrote)
	if err == nil && wrote < len(p) {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		err = io.ErrShortWrite
	}
	return wrote, err
}
