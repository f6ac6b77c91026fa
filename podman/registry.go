// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

const (
	// parallelLookups bounds the registries asked at once.
	parallelLookups = 8
	// lookupTimeout bounds one question, so that a registry that hangs costs a
	// warning and not the pass.
	lookupTimeout = 20 * time.Second
	// digestTTL is how long a digest is taken to be right.
	digestTTL = 30 * time.Second
)

var errTooLong = fmt.Errorf("no answer within %s", lookupTimeout)

// DigestMemory remembers which digest a tag has, and which registries do not
// answer. Its zero value is ready.
type DigestMemory struct {
	// TTL is how long a digest is taken to be right; 0 means 30 seconds.
	TTL time.Duration

	mu     sync.Mutex
	known  map[string]remembered
	silent map[string]silence // by the registry that a reference names
}

// Forget has all tags looked up anew.
func (m *DigestMemory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.silent = nil, nil
}

// silence is a registry that did not answer.
type silence struct {
	err error
	at  time.Time
}

// silenceOf returns why a registry did not answer a moment ago: what it is
// asked next would wait as long.
func (m *DigestMemory) silenceOf(registry string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.silent[registry]; ok && time.Since(s.at) < digestTTL {
		return s.err
	}
	return nil
}

func (m *DigestMemory) putSilence(registry string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent == nil {
		m.silent = map[string]silence{}
	}
	m.silent[registry] = silence{err, time.Now()}
}

type remembered struct {
	digest string
	at     time.Time
}

func (m *DigestMemory) get(ref string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.known[ref]
	ttl := m.TTL
	if ttl == 0 {
		ttl = digestTTL
	}
	return k.digest, ok && time.Since(k.at) < ttl
}

func (m *DigestMemory) put(ref, digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known = map[string]remembered{}
	}
	m.known[ref] = remembered{digest, time.Now()}
}

// lookup is a registry's answer.
type lookup struct {
	digest  string
	refused bool // the registry answered, and said no
	err     error
}

// lookUp asks for the digest of a tag, where registries.conf says: mirrors
// first, as a pull would.
func (r *Runtime) lookUp(ctx context.Context, n imageName) lookup {
	if digest, ok := r.opt.Digests.get(n.name); ok {
		return lookup{digest: digest}
	}
	registry := reference.Domain(n.named)
	if err := r.opt.Digests.silenceOf(registry); err != nil {
		return lookup{err: fmt.Errorf("look up %s: %w", n.name, err)}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookupTimeout, errTooLong)
	defer cancel()
	sources, err := pullSources(n.named)
	if err != nil {
		return lookup{err: fmt.Errorf("look up %s: %w", n.name, err)}
	}
	answer := lookup{refused: true}
	for _, s := range sources {
		digest, err := r.ask(ctx, s)
		if err == nil {
			r.opt.Digests.put(n.name, digest)
			return lookup{digest: digest}
		}
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		answer.refused = answer.refused && saidNo(err)
		answer.err = fmt.Errorf("look up %s: %w", n.name, err)
		if noAnswer(err) {
			r.opt.Digests.putSilence(registry, err)
		}
	}
	return answer
}

// noAnswer reports whether nobody answered at all, within the time or ever.
func noAnswer(err error) bool {
	var network *net.OpError
	return errors.Is(err, errTooLong) || errors.As(err, &network)
}

// source is one place to get an image from.
type source struct {
	ref      reference.Named
	insecure bool
}

func pullSources(named reference.Named) ([]source, error) {
	reg, err := sysregistriesv2.FindRegistry(&types.SystemContext{}, named.String())
	if err != nil {
		return nil, err
	}
	if reg == nil {
		return []source{{ref: named}}, nil
	}
	if reg.Blocked {
		return nil, errors.New("registries.conf blocks this registry")
	}
	list, err := reg.PullSourcesFromReference(named)
	if err != nil {
		return nil, err
	}
	sources := make([]source, 0, len(list))
	for _, s := range list {
		sources = append(sources, source{ref: s.Reference, insecure: s.Endpoint.Insecure})
	}
	return sources, nil
}

// ask asks one registry. HEAD costs no pull; only GET tells why not.
func (r *Runtime) ask(ctx context.Context, s source) (string, error) {
	var opts []name.Option
	if s.insecure {
		opts = append(opts, name.Insecure)
	}
	ref, err := name.ParseReference(s.ref.String(), opts...)
	if err != nil {
		return "", err
	}
	auth, err := r.credentials(s.ref)
	if err != nil {
		return "", err
	}
	how := []remote.Option{
		remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(registryTransport(s.insecure)),
		// The next pass asks again; until then a failure is a warning.
		remote.WithRetryBackoff(remote.Backoff{Duration: 200 * time.Millisecond, Factor: 1, Steps: 2}),
	}
	head, err := remote.Head(ref, how...)
	if err == nil {
		return head.Digest.String(), nil
	}
	if _, answered := errors.AsType[*transport.Error](err); !answered {
		return "", err
	}
	got, err := remote.Get(ref, how...)
	if err != nil {
		return "", err
	}
	return got.Digest.String(), nil
}

func (r *Runtime) credentials(ref reference.Named) (authn.Authenticator, error) {
	c, err := config.GetCredentialsForRef(&types.SystemContext{AuthFilePath: r.opt.AuthFile}, ref)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	if c == (types.DockerAuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken}), nil
}

func registryTransport(insecure bool) http.RoundTripper {
	if !insecure {
		return remote.DefaultTransport
	}
	t, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return remote.DefaultTransport
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // registries.conf says so
	return t
}

// saidNo reports whether the registry itself refused: there is no such image,
// or not for us.
func saidNo(err error) bool {
	e, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return false
	}
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}

// plainHTTP reports whether a registry is this host's, where nobody has
// certificates.
func plainHTTP(named reference.Named) bool {
	host := reference.Domain(named)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
