// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"reconcile/atomicfile"
)

// session is a conversation in git's own protocol.
type session interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
	Close() error
}

// conversation is the remote that go-git's parts make: its protocol and its
// object store, over transports with limits.
//
// go-git's own Remote is not used. It finds its transports in a variable of the
// whole process, lists the references anew for each fetch, and writes
// references while others read them.
type conversation struct {
	u    URL
	heed *heed
	open func(context.Context) (session, error)
	// once: after one fetch a session is over.
	once bool

	s    session
	adv  *packp.AdvRefs
	used bool
}

func (c *conversation) close() error {
	if c.s == nil {
		return nil
	}
	s := c.s
	c.s = nil
	return s.Close()
}

func (c *conversation) list(ctx context.Context) (listing, error) {
	l, err := c.advertised(ctx)
	if err != nil {
		return listing{}, failure(ctx, c.u, c.heed, err)
	}
	return l, nil
}

func (c *conversation) advertised(ctx context.Context) (listing, error) {
	_ = c.close() // of the session before, which has nothing more to say
	s, err := c.open(ctx)
	if err != nil {
		return listing{}, err
	}
	c.s, c.used = s, false
	adv, err := s.AdvertisedReferencesContext(ctx)
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return listing{}, nil
	case err != nil:
		return listing{}, err
	}
	c.adv = adv
	l := listing{
		refs: make(map[string]tip, len(adv.References)+1),
		exact: adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) ||
			adv.Capabilities.Supports(capability.Capability("allow-any-sha1-in-want")),
	}
	for name, hash := range adv.References {
		t := tip{object: hash.String(), commit: hash.String()}
		if peeled, ok := adv.Peeled[name]; ok {
			t.commit = peeled.String()
		}
		l.refs[name] = t
	}
	if adv.Head != nil {
		l.refs["HEAD"] = tip{object: adv.Head.String(), commit: adv.Head.String()}
	}
	return l, nil
}

func (c *conversation) fetch(ctx context.Context, dir string, w wants) error {
	if err := c.bring(ctx, dir, w); err != nil {
		if errors.Is(err, errMirror) {
			return err
		}
		return failure(ctx, c.u, c.heed, err)
	}
	return nil
}

func (c *conversation) bring(ctx context.Context, dir string, w wants) (err error) {
	if c.s == nil || c.used && c.once {
		if _, err := c.advertised(ctx); err != nil {
			return err
		}
	}
	if c.adv == nil {
		return transport.ErrEmptyRemoteRepository
	}
	store := filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRUDefault())
	defer func() { err = errors.Join(err, store.Close()) }()
	shallow, err := store.Shallow()
	if err != nil {
		return fmt.Errorf("%w: %w", errMirror, err)
	}
	req := c.request(w, shallow)
	c.used = true
	res, err := c.s.UploadPack(ctx, req)
	if err != nil {
		return err
	}
	if w.admit != nil { // from here on it costs memory, and a server that says nothing holds nobody up
		leave, err := w.admit(ctx)
		if err != nil {
			return errors.Join(err, res.Close())
		}
		defer leave()
	}
	before, err := packs(dir)
	if err != nil {
		return errors.Join(err, res.Close())
	}
	if len(req.Haves) > 0 {
		err = storeThin(store, dir, demultiplex(req, res))
	} else {
		err = packfile.UpdateObjectStorage(store, demultiplex(req, res))
	}
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		err = nil // nothing that is not here; whether that suffices is checked later
	}
	if err = errors.Join(err, res.Close(), ctx.Err()); err != nil { // go-git indexes a pack to its end, whatever the context says
		return err
	}
	for _, h := range res.Shallows {
		if !slices.Contains(shallow, h) {
			shallow = append(shallow, h)
		}
	}
	shallow = slices.DeleteFunc(shallow, func(h plumbing.Hash) bool { return slices.Contains(res.Unshallows, h) })
	if err := store.SetShallow(shallow); err != nil {
		return fmt.Errorf("write shallow: %w", err)
	}
	return settle(dir, before)
}

// request asks for the same depth every time: a fetch without one would move a
// shallow repository to commits that it never gets the trees of.
func (c *conversation) request(w wants, shallow []plumbing.Hash) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(c.adv.Capabilities)
	set := func(name capability.Capability) {
		if c.adv.Capabilities.Supports(name) {
			_ = req.Capabilities.Set(name) // fails for values only
		}
	}
	set(capability.NoProgress)
	for _, t := range w.tips {
		if h := plumbing.NewHash(t.object); !slices.Contains(req.Wants, h) {
			req.Wants = append(req.Wants, h)
		}
	}
	if w.depth > 0 && c.adv.Capabilities.Supports(capability.Shallow) {
		set(capability.Shallow)
		req.Depth = packp.DepthCommits(w.depth)
		req.Shallows, req.Haves = shallow, slices.Clone(shallow)
	}
	for _, have := range w.haves {
		req.Haves = append(req.Haves, plumbing.NewHash(have))
	}
	if len(req.Haves) > 0 {
		_ = req.Capabilities.Set(capability.ThinPack) // go-git hides that servers can; all do
	}
	return req
}

func demultiplex(req *packp.UploadPackRequest, r io.Reader) io.Reader {
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case req.Capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// packs returns the sizes of a repository's packs and their indexes, by name.
func packs(dir string) (map[string]int64, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "objects", "pack"))
	if errors.Is(err, os.ErrNotExist) {
		return map[string]int64{}, nil
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]int64, len(entries))
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "pack-") {
			continue // of a fetch that was broken off
		}
		if ext := filepath.Ext(e.Name()); ext != ".pack" && ext != ".idx" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		found[e.Name()] = info.Size()
	}
	return found, nil
}

// settle makes the packs that are new outlast a power cut. go-git renames them
// into place before that is so.
func settle(dir string, before map[string]int64) error {
	after, err := packs(dir)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "objects", "pack")
	for name := range after {
		if _, ok := before[name]; ok {
			continue
		}
		if err := syncFile(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	if len(after) == len(before) {
		return nil
	}
	return atomicfile.SyncDir(folder)
}

func syncFile(name string) (err error) {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
