// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// image is what creating containers needs to know about an image.
type image struct {
	id         string // sha256:…
	entrypoint []string
	cmd        []string
	user       string
	env        []string // NAME=value
	workDir    string

	manifestType string
	probe        *probe // what is known of its files; shared by all copies
}

// imageMemory keeps images by the reference and digest they were bound to, so
// that creating many containers of one image asks once.
type imageMemory struct {
	locks locks
	mu    sync.Mutex
	known map[string]image
	byID  map[string]*probe
}

func (m *imageMemory) get(key string) (image, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	img, ok := m.known[key]
	return img, ok
}

func (m *imageMemory) put(key string, img image) image {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil {
		m.known, m.byID = map[string]image{}, map[string]*probe{}
	}
	if m.byID[img.id] == nil {
		m.byID[img.id] = new(probe)
	}
	img.probe = m.byID[img.id]
	m.known[key] = img
	return img
}

// forgetID forgets an image that turned out to be gone.
func (m *imageMemory) forgetID(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.known, func(_ string, img image) bool { return img.id == id })
}

// wantedImage is the image that a step is bound to: the reference and the value
// that the planner bound, or else what was last observed.
type wantedImage struct {
	imageName
	value string // manifest digest, or the ID of a local image
}

func (w wantedImage) key() string {
	if w.local {
		return w.value
	}
	return w.repo + "@" + w.value
}

func (r *Runtime) wanted(ctx context.Context, s plan.Step, ref string) (wantedImage, error) {
	n, err := parseImage(ref)
	if err != nil {
		return wantedImage{}, forGood(err)
	}
	w := wantedImage{imageName: n, value: s.Bound[plan.Input{Kind: plan.InputImage, Name: ref}.String()]}
	if w.value != "" {
		return w, nil
	}
	r.mu.Lock()
	w.value = r.refs[ref].Value
	r.mu.Unlock()
	switch {
	case w.value != "":
		return w, nil
	case n.digest != "":
		w.value = n.digest
		return w, nil
	case n.local:
		found, err := images.GetImage(ctx, n.name, nil)
		if notFound(err) {
			return w, forGood(r.explain("image "+ref, err))
		}
		if err != nil {
			return w, r.explain("image "+ref, err)
		}
		w.value = imageID(found.ID)
		return w, nil
	}
	asked := r.lookUp(ctx, n)
	w.value = asked.digest
	if asked.refused {
		return w, forGood(asked.err)
	}
	return w, asked.err
}

// ensure returns the image, pulling it if it is not here.
func (r *Runtime) ensure(ctx context.Context, s plan.Step, ref string) (image, error) {
	w, err := r.wanted(ctx, s, ref)
	if err != nil {
		return image{}, err
	}
	if img, ok := r.images.get(w.key()); ok {
		return img, nil
	}
	unlock, err := r.images.locks.lock(ctx, w.key())
	if err != nil {
		return image{}, err
	}
	defer unlock()
	if img, ok := r.images.get(w.key()); ok {
		return img, nil
	}
	found, err := images.GetImage(ctx, w.key(), nil)
	if notFound(err) {
		if w.local {
			return image{}, forGood(fmt.Errorf("image %s is not on this host any more; build it again", ref))
		}
		if err := r.pull(ctx, s, w); err != nil {
			return image{}, err
		}
		found, err = images.GetImage(ctx, w.key(), nil)
	}
	if err != nil {
		return image{}, r.explain("image "+ref, err)
	}
	return r.images.put(w.key(), imageOfReport(found)), nil
}

func imageOfReport(found *types.ImageInspectReport) image {
	img := image{id: imageID(found.ID), manifestType: found.ManifestType}
	if c := found.Config; c != nil {
		img.entrypoint, img.cmd, img.user, img.env, img.workDir = c.Entrypoint, c.Cmd, c.User, c.Env, c.WorkingDir
	}
	return img
}

// pull fetches an image by digest. The tag that was asked for is put on it, so
// that the host has something when the registry cannot be reached.
func (r *Runtime) pull(ctx context.Context, s plan.Step, w wantedImage) error {
	r.say(s, "pull %s", w.name)
	lines := &lineWriter{line: func(text string) { r.say(s, "pull %s: %s", w.name, text) }}
	opt := new(images.PullOptions).WithProgressWriter(lines)
	if r.opt.AuthFile != "" {
		opt = opt.WithAuthfile(r.opt.AuthFile)
	}
	if plainHTTP(w.named) {
		opt = opt.WithSkipTLSVerify(true)
	}
	got, err := images.Pull(ctx, w.key(), opt)
	if err != nil {
		return r.pullFailed(ctx, w, err)
	}
	if w.tag == "" || len(got) == 0 {
		return nil
	}
	if err := images.Tag(ctx, got[0], w.tag, w.repo, nil); err != nil {
		return r.explain("tag "+w.name, err)
	}
	return nil
}

// lineWriter calls line with every complete line written to it.
type lineWriter struct {
	line func(string)
	rest string
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest += string(p)
	for {
		text, rest, ok := strings.Cut(w.rest, "\n")
		if !ok {
			return len(p), nil
		}
		w.rest = rest
		if text = strings.TrimSpace(text); text != "" {
			w.line(text)
		}
	}
}
