// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/copy"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/moby/sys/user"

	"reconcile/reconcile/plan"
)

// caBundle is where the certificates of most distributions are.
const caBundle = "/etc/ssl/certs/ca-certificates.crt"

// caVariables point the usual programs to the bundle.
var caVariables = []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"}

// probe is what is known of an image's files. The API shows them only through
// a container, so one is created, looked into and removed, once per image.
type probe struct {
	mu     sync.Mutex
	done   bool
	bundle bool // caBundle exists
	passwd []byte
	group  []byte
	paths  map[string]bool // whether there is something at a path
}

// probeAge is when a probe's container has been forgotten by whoever made it.
const probeAge = 10 * time.Minute

const probePrefix = "reconcile-probe-"

// hasBundle reports whether a container of img has the bundle that it asks for.
func (r *Runtime) hasBundle(ctx context.Context, c plan.ContainerSpec, img image) (bool, error) {
	if !c.CABundle {
		return false, nil
	}
	p, err := r.look(ctx, img)
	if err != nil {
		return false, err
	}
	return p.bundle, nil
}

func (r *Runtime) look(ctx context.Context, img image) (*probe, error) {
	p := img.probe
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return p, nil
	}
	if err := r.sweepProbes(ctx); err != nil {
		return nil, err
	}
	spec := specgen.NewSpecGenerator(img.id, false)
	spec.Name = probePrefix + strings.ToLower(rand.Text()[:12])
	spec.Entrypoint = []string{"/never-started"}
	spec.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	spec.ImageVolumeMode = "ignore"
	spec.Labels = map[string]string{labelProbe: "true"}
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if err != nil {
		return nil, r.explain("look into "+img.id, err)
	}
	defer r.dropProbe(ctx, made.ID)

	if _, err := containers.Stat(ctx, made.ID, caBundle); err == nil {
		p.bundle = true
	} else if !errors.Is(err, copy.ErrENOENT) {
		return nil, r.explain("look into "+img.id, err)
	}
	if p.passwd, err = r.fileIn(ctx, made.ID, "/etc/passwd"); err != nil {
		return nil, err
	}
	if p.group, err = r.fileIn(ctx, made.ID, "/etc/group"); err != nil {
		return nil, err
	}
	p.done = true
	return p, nil
}

func (r *Runtime) dropProbe(ctx context.Context, id string) {
	ctx = context.WithoutCancel(ctx)
	// What stays is found by the next probe's sweep.
	_ = removeAtOnce(ctx, id)
}

// sweepProbes removes containers of probes that were interrupted.
func (r *Runtime) sweepProbes(ctx context.Context) error {
	filter := map[string][]string{"label": {labelProbe + "=true"}}
	list, err := containers.List(ctx, new(containers.ListOptions).WithAll(true).WithFilters(filter))
	if err != nil {
		return r.explain("list containers", err)
	}
	for _, c := range list {
		// A label alone may come from an image; a probe also has its name and was
		// never started.
		probe := len(c.Names) > 0 && strings.HasPrefix(c.Names[0], probePrefix) && r.state(c) == plan.StateCreated
		if probe && time.Since(c.Created) > probeAge {
			r.dropProbe(ctx, c.ID)
		}
	}
	return nil
}

// maxAccountFile bounds what is read of an image's passwd and group.
const maxAccountFile = 4 << 20

// fileIn reads a file of a container; a missing one is empty.
func (r *Runtime) fileIn(ctx context.Context, id, path string) ([]byte, error) {
	if _, err := containers.Stat(ctx, id, path); errors.Is(err, copy.ErrENOENT) {
		return nil, nil
	}
	var buf bytes.Buffer
	read, err := containers.CopyToArchive(ctx, id, path, &buf)
	if err == nil {
		err = read()
	}
	if err != nil {
		return nil, r.explain("read "+path+" of an image", err)
	}
	archive := tar.NewReader(&buf)
	h, err := archive.Next()
	if errors.Is(err, io.EOF) || err == nil && h.Typeflag != tar.TypeReg {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of an image: %w", path, err)
	}
	return io.ReadAll(io.LimitReader(archive, maxAccountFile))
}

// owner is the uid and gid that a USER stands for in the image.
func (r *Runtime) owner(ctx context.Context, img image, who string) (uid, gid int, err error) {
	if who == "" {
		who = img.user
	}
	if uid, gid, ok := numericUser(who); ok {
		return uid, gid, nil
	}
	p, err := r.look(ctx, img)
	if err != nil {
		return 0, 0, err
	}
	found, err := user.GetExecUser(who, &user.ExecUser{}, bytes.NewReader(p.passwd), bytes.NewReader(p.group))
	if err != nil {
		return 0, 0, forGood(fmt.Errorf("user %q of the image: %w", who, err))
	}
	return found.Uid, found.Gid, nil
}

// numericUser reads a USER that needs no look into the image.
func numericUser(who string) (uid, gid int, ok bool) {
	if who == "" || who == "0" || who == "root" {
		return 0, 0, true
	}
	u, g, both := strings.Cut(who, ":")
	if !both {
		return 0, 0, false
	}
	uid, err1 := strconv.Atoi(u)
	gid, err2 := strconv.Atoi(g)
	return uid, gid, err1 == nil && err2 == nil
}
