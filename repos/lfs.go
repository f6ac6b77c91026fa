// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// pointer is what git has of a file that is kept in Git LFS.
type pointer struct {
	oid  string // SHA-256 of the content
	size int64
}

// maxPointer is the size of the largest pointer that LFS writes.
const maxPointer = 1024

const pointerVersion = "version https://git-lfs.github.com/spec/v1\n"

// errLFS is about the content, not about the pointer.
var errLFS = errors.New("is kept in Git LFS, and its content is not here; a repo with git: exec fetches it")

func parsePointer(content []byte) (pointer, bool) {
	rest, ok := strings.CutPrefix(string(content), pointerVersion)
	if !ok {
		return pointer{}, false
	}
	p := pointer{size: -1}
	for line := range strings.Lines(rest) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "oid":
			p.oid, _ = strings.CutPrefix(value, "sha256:")
		case "size":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return pointer{}, false
			}
			p.size = n
		}
	}
	isHex := strings.IndexFunc(p.oid, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) < 0
	return p, len(p.oid) == 64 && isHex && p.size >= 0
}

// readPointer returns what a blob says about LFS; nil = nothing.
func readPointer(b *object.Blob) (*pointer, error) {
	if b.Size > maxPointer {
		return nil, nil
	}
	content, err := all(b)
	if err != nil {
		return nil, err
	}
	if p, ok := parsePointer(content); ok {
		return &p, nil
	}
	return nil, nil
}

// openLarge opens the content of a file in LFS, where the program puts it.
func (r *Repo) openLarge(p pointer) (io.ReadCloser, error) {
	f, err := os.Open(filepath.Join(r.gitDir(), "lfs", "objects", p.oid[:2], p.oid[2:4], p.oid))
	if err != nil {
		return nil, errLFS
	}
	info, err := f.Stat()
	if err == nil && info.Size() == p.size {
		return f, nil
	}
	return nil, errors.Join(errLFS, f.Close())
}

// gitDir is the folder with objects and references.
func (r *Repo) gitDir() string {
	storage := r.git.Storer
	if all, ok := storage.(*objectStores); ok {
		storage = all.Storer
	}
	if s, ok := storage.(*filesystem.Storage); ok {
		return s.Filesystem().Root()
	}
	return r.path
}

// wholeFolder is where the program notes, in a repository that it fetches into,
// which commits it has brought with all of their files. Without the note the
// commit does not count as there.
const wholeFolder = "reconcile-whole"

// lacksNote reports whether the repository is one that the program fetches into,
// and does not have all of a commit.
func (r *Repo) lacksNote(commit string) bool {
	folder := filepath.Join(r.gitDir(), wholeFolder)
	if _, err := os.Lstat(filepath.Join(folder, commit)); err == nil {
		return false
	}
	_, err := os.Lstat(folder)
	return err == nil
}

// noteWhole does nothing in other repositories.
func (r *Repo) noteWhole(commit string) error {
	folder := filepath.Join(r.gitDir(), wholeFolder)
	if _, err := os.Lstat(folder); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return os.WriteFile(filepath.Join(folder, commit), nil, 0o600)
}

// stock is what is to be known of the files of a commit.
type stock struct {
	missing bool // some are not here
	lfs     bool // a .gitattributes hands files to LFS
}

// inventory looks for each file of a tree, without reading it.
func inventory(r *Repo, tree plumbing.Hash) (stock, error) {
	var s stock
	err := s.add(r, tree, 0)
	return s, err
}

func (s *stock) add(r *Repo, tree plumbing.Hash, depth int) error {
	if depth > maxTreeDepth {
		return errors.New("folders are nested too deep")
	}
	t, err := object.GetTree(r.git.Storer, tree)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		s.missing = true
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range t.Entries {
		switch {
		case e.Mode == filemode.Submodule:
		case e.Mode == filemode.Dir:
			err = s.add(r, e.Hash, depth+1)
		case r.git.Storer.HasEncodedObject(e.Hash) != nil:
			s.missing = true
		case e.Name == ".gitattributes" && e.Mode.IsRegular() && !s.lfs:
			s.lfs, err = handsToLFS(r, e.Hash)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func handsToLFS(r *Repo, attributes plumbing.Hash) (bool, error) {
	b, err := r.git.BlobObject(attributes)
	if err != nil {
		return false, err
	}
	content, err := all(b)
	return strings.Contains(string(content), "filter=lfs"), err
}

// lfsRemote is a name for the URL; LFS takes no URL.
const lfsRemote = "reconcile"

// fetchLFS has git-lfs, a program of its own, bring the content for a commit.
func (g *gitProgram) fetchLFS(ctx context.Context, dir, commit string) error {
	if _, err := g.run(ctx, dir, nil, "lfs", "version"); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return &remoteError{u: g.u, text: "it has files in Git LFS, and git-lfs is not installed", kind: ErrNoGit, once: true}
	}
	_, err := g.run(ctx, dir, nil, "-c", "remote."+lfsRemote+".url="+g.u.String(), "-c", "lfs.concurrenttransfers=4",
		"-c", "lfs.locksverify=false", "lfs", "fetch", lfsRemote, commit)
	return err
}

// linkLarge gives a repository what another has in LFS, as far as it can.
func linkLarge(from, to *Repo) {
	root := filepath.Join(from.gitDir(), "lfs", "objects")
	files, _ := filepath.Glob(filepath.Join(escapeGlob(root), "[0-9a-f]*", "[0-9a-f]*", "[0-9a-f]*"))
	for _, file := range files {
		below, err := filepath.Rel(root, file)
		if err != nil {
			continue
		}
		target := filepath.Join(to.gitDir(), "lfs", "objects", below)
		if os.MkdirAll(filepath.Dir(target), 0o700) == nil {
			_ = os.Link(file, target) // it may be there
		}
	}
}

var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func escapeGlob(name string) string { return globEscaper.Replace(name) }
