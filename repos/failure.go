// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// errNoGitServer is an answer of something else.
var errNoGitServer = errors.New("the answer is not one of a git server")

// remoteError is what went wrong with a remote, in words that have neither
// secrets nor control characters in them.
type remoteError struct {
	u    URL
	text string
	kind error // one of the sentinels; nil = none applies
	once bool  // trying again would not help
}

func (e *remoteError) Error() string { return e.u.String() + ": " + e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// retryable: the world may be better in a moment.
func retryable(err error) bool {
	e := (*remoteError)(nil)
	return errors.As(err, &e) && !e.once
}

// failure says what an error of a conversation means.
func failure(ctx context.Context, u URL, h *heed, err error) error {
	e := &remoteError{u: u}
	if already := (*remoteError)(nil); errors.As(err, &already) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", u, context.Canceled)
	case ctx.Err() != nil:
		e.text, e.once, e.kind = "it took too long", true, context.DeadlineExceeded
	case h.large || errors.Is(err, ErrTooLarge):
		e.text, e.kind, e.once = fmt.Sprintf("%v: an answer has more than %d bytes", ErrTooLarge, h.max), ErrTooLarge, true
	case h.page:
		e.text, e.kind, e.once = fmt.Sprintf("%v: %v", ErrNotFound, errNoGitServer), ErrNotFound, true
	case u.Scheme == "ssh":
		e.ssh(h, err)
	default:
		e.http(h, err)
	}
	return e
}

func (e *remoteError) http(h *heed, err error) {
	switch {
	case h.status == http.StatusUnauthorized && h.login:
		e.text, e.kind, e.once = fmt.Sprintf("%v: the credentials were refused", ErrAuth), ErrAuth, true
	case h.status == http.StatusUnauthorized:
		e.text, e.kind, e.once = fmt.Sprintf("%v: credentials are wanted (%s)", ErrAuth, h.advice), ErrAuth, true
	case h.status == http.StatusForbidden:
		e.text, e.kind, e.once = fmt.Sprintf("%v: access is forbidden", ErrAuth), ErrAuth, true
	case h.status == http.StatusNotFound || h.status == http.StatusGone:
		e.text, e.kind, e.once = fmt.Sprintf("%v (or not for us)", ErrNotFound), ErrNotFound, true
		if !h.login {
			e.text += "; " + h.advice
		}
	case h.status >= 400:
		e.text = fmt.Sprintf("the server answered %d %s", h.status, http.StatusText(h.status))
		e.once = h.status < 500 && h.status != http.StatusTooManyRequests && h.status != http.StatusRequestTimeout
	default:
		e.network(err)
	}
}

func (e *remoteError) ssh(h *heed, err error) {
	said := strings.ToLower(h.said)
	switch {
	case h.hostKey != nil:
		e.text, e.kind, e.once = h.hostKey.Error(), ErrAuth, true
	case errors.Is(err, ErrAuth):
		e.text, e.kind, e.once = plain(err.Error()), ErrAuth, true
	case strings.Contains(err.Error(), "unable to authenticate"):
		e.text, e.kind, e.once = fmt.Sprintf("%v: the server takes none of our keys; %s", ErrAuth, h.advice), ErrAuth, true
	case strings.Contains(said, "not found") && !strings.Contains(said, "command not found"),
		strings.Contains(said, "does not appear to be a git repository"), strings.Contains(said, "not exist"),
		strings.Contains(said, "could not be found"), strings.Contains(said, "no such repository"),
		strings.Contains(said, "not a git repository"):
		e.text, e.kind, e.once = fmt.Sprintf("%v (or not for us): %s", ErrNotFound, firstLine(h.said)), ErrNotFound, true
	case strings.Contains(said, "access denied"), strings.Contains(said, "permission denied"):
		e.text, e.kind, e.once = fmt.Sprintf("%v: %s", ErrAuth, firstLine(h.said)), ErrAuth, true
	case h.said != "":
		e.text = "the server says: " + firstLine(h.said)
	default:
		e.network(err)
	}
}

func (e *remoteError) network(err error) {
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		op     *net.OpError
	)
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		e.text, e.kind, e.once = ErrAuth.Error(), ErrAuth, true
	case errors.Is(err, transport.ErrRepositoryNotFound):
		e.text, e.kind, e.once = fmt.Sprintf("%v (or not for us)", ErrNotFound), ErrNotFound, true
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		e.text, e.kind, e.once = fmt.Sprintf("%v: the repository is empty", ErrNoRef), ErrNoRef, true
	case errors.As(err, &dns) && dns.IsNotFound:
		e.text = fmt.Sprintf("the host %s is unknown", plain(dns.Name))
	case errors.As(err, &cert):
		e.text, e.once = "the server's certificate is not accepted: "+plain(cert.Err.Error()), true
	case errors.As(err, &record):
		e.text, e.once = "the server does not speak TLS", true
	case errors.As(err, &op):
		e.text = plain(op.Error())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, packfile.ErrEmptyPackfile),
		strings.Contains(err.Error(), "unexpected EOF"), strings.HasSuffix(err.Error(), "EOF"):
		e.text = "the answer broke off"
	default:
		e.text = plain(err.Error())
	}
}

// plain is for the texts of others.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}

func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return plain(line)
		}
	}
	return ""
}
