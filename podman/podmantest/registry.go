// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A RegistryServer is an image registry in memory, over plain HTTP, on an address
// that the service of the lab reaches.
type RegistryServer struct {
	Host string // 127.0.0.1:port

	mu         sync.Mutex
	user, pass string
	down       bool
	withheld   string // why no blob is given out
	requests   []string
}

// Registry starts a registry that ends with the test.
func Registry(t testing.TB) *RegistryServer {
	t.Helper()
	use(t)
	r := new(RegistryServer)
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.admit(w, req) {
			inner.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// admit notes the request and answers those that may not go on.
func (r *RegistryServer) admit(w http.ResponseWriter, req *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	if r.down {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return false
	}
	user, pass, _ := req.BasicAuth()
	if r.user != "" && (user != r.user || pass != r.pass) {
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return false
	}
	if r.withheld != "" && req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/sha256:") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": "DENIED", "message": r.withheld}}})
		return false
	}
	return true
}

// Withhold makes the registry say which images there are, and refuse what they are
// made of, for a reason; "" ends that.
func (r *RegistryServer) Withhold(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.withheld = why
}

// Require makes the registry ask for a user from now on.
func (r *RegistryServer) Require(user, pass string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.user, r.pass = user, pass
}

// Down makes the registry answer 503 to everything, or end that.
func (r *RegistryServer) Down(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// Requests returns the requests so far, "METHOD /path", and forgets them.
func (r *RegistryServer) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.requests
	r.requests = nil
	return list
}

// AuthFile writes an auth.json for the registry and returns its path.
func (r *RegistryServer) AuthFile(t testing.TB, user, pass string) string {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))
	b, err := json.Marshal(map[string]any{"auths": map[string]any{r.Host: map[string]string{"auth": auth}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "auth.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Push makes an image and pushes it as repo:tag, "app:1". It returns the full
// reference and the manifest digest.
func (r *RegistryServer) Push(t testing.TB, repoTag string, opt ImageOptions) (ref, digest string) {
	t.Helper()
	ref = r.Host + "/" + repoTag
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	img := ociImage(t, opt)
	r.mu.Lock()
	auth := authn.Anonymous
	if r.user != "" {
		auth = &authn.Basic{Username: r.user, Password: r.pass}
	}
	r.mu.Unlock()
	if err := remote.Write(tag, img, remote.WithAuth(auth)); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
	sum, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref, sum.String()
}

// ociImage builds an image the way registries hold it.
func ociImage(t testing.TB, opt ImageOptions) v1.Image {
	t.Helper()
	archive := Layer(t, opt)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	img, err = mutate.AppendLayers(img, layer)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", goarch
	for _, c := range changes(opt) {
		if err := change(&file.Config, c); err != nil {
			t.Fatal(err)
		}
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
