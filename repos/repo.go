// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Repo is a repository of this host, bare or with a work tree. It is for one
// goroutine at a time.
type Repo struct {
	path string // absolute
	url  URL    // by which sources name it
	git  *git.Repository
	// reopen finds the repository again after somebody wrote to it; nil = at path.
	reopen func() (*git.Repository, error)
	// damaged is called when something cannot be read; may be nil.
	damaged func()
}

// Open opens the repository in the folder path, not in a folder above it.
func Open(path string) (*Repo, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	r, err := git.PlainOpenWithOptions(path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, &pastError{fmt.Sprintf("open repository %q: it is a file, and no git repository", path), ErrNotFound}
	}
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, &pastError{fmt.Sprintf("open repository %q: there is no git repository", path), ErrNotFound}
	}
	if err != nil {
		return nil, fmt.Errorf("open repository %q: %w", path, err)
	}
	if r, err = borrowing(r); err != nil {
		return nil, fmt.Errorf("open repository %q: %w", path, err)
	}
	return &Repo{path: path, url: URL{Scheme: "file", Path: filepath.ToSlash(path)}, git: r}, nil
}

// borrowing lets a repository read the objects that it borrows from others of
// this host, as after git clone --shared. go-git looks for them below the
// repository itself, where they are not.
func borrowing(r *git.Repository) (*git.Repository, error) {
	s, ok := r.Storer.(*filesystem.Storage)
	if !ok {
		return r, nil
	}
	if _, err := s.Filesystem().Stat("objects/info/alternates"); err != nil {
		return r, nil
	}
	s = filesystem.NewStorageWithOptions(s.Filesystem(), cache.NewObjectLRUDefault(), filesystem.Options{AlternatesFS: osfs.New("/")})
	return git.Open(s, nil)
}

// abbreviated is a commit hash, whole or its beginning.
var abbreviated = regexp.MustCompile(`^[0-9a-f]{4,40}$`)

// Commit returns the hash of the commit that ref names: a branch, a tag, a
// branch of the remote origin, a whole reference such as refs/heads/main, or a
// commit hash of at least four digits, in this order. The empty ref is the
// default branch, HEAD. Revision expressions such as HEAD~1 are not references
// and are not understood.
func (r *Repo) Commit(ref string) (string, error) {
	if ref == "" {
		head, err := r.git.Head()
		if errors.Is(err, plumbing.ErrReferenceNotFound) {
			return "", &pastError{fmt.Sprintf("repository %q: the default branch has no commit", r.path), ErrNoRef}
		}
		if err != nil {
			return "", fmt.Errorf("repository %q: read HEAD: %w", r.path, err)
		}
		return head.Hash().String(), nil
	}
	for _, name := range []plumbing.ReferenceName{
		plumbing.NewBranchReferenceName(ref),
		plumbing.NewTagReferenceName(ref),
		plumbing.NewRemoteReferenceName("origin", ref),
		plumbing.ReferenceName(ref),
	} {
		if name.Validate() != nil || !strings.HasPrefix(name.String(), "refs/") {
			continue
		}
		if got, err := r.git.Reference(name, true); err == nil {
			return r.peel(ref, got.Hash())
		}
	}
	if abbreviated.MatchString(ref) {
		if h, err := r.git.ResolveRevision(plumbing.Revision(ref)); err == nil {
			return r.peel(ref, *h)
		}
	}
	return "", &pastError{fmt.Sprintf("repository %q: no branch, tag or commit %q", r.path, ref), ErrNoRef}
}

// peel follows annotated tags to the commit they are about.
func (r *Repo) peel(ref string, h plumbing.Hash) (string, error) {
	for {
		tag, err := r.git.TagObject(h)
		if err != nil {
			break
		}
		h = tag.Target
	}
	if _, err := r.git.CommitObject(h); err != nil {
		return "", fmt.Errorf("repository %q: %q is not a commit", r.path, ref)
	}
	return h.String(), nil
}

// FS returns the files of the commit hash, as [Repo.Commit] returns it.
func (r *Repo) FS(hash string) (*FS, error) {
	var c *object.Commit
	if err := r.again(func(g *git.Repository) (err error) {
		c, err = g.CommitObject(plumbing.NewHash(hash))
		return err
	}); err != nil {
		return nil, fmt.Errorf("repository %q: read commit %s: %w", r.path, hash, err)
	}
	return r.treeFS(c.TreeHash)
}

func (r *Repo) treeFS(hash plumbing.Hash) (*FS, error) {
	t, err := r.tree(hash)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", r.path, err)
	}
	return newFS(treeIn{r, t}), nil
}

func (r *Repo) tree(hash plumbing.Hash) (t *object.Tree, err error) {
	err = r.again(func(g *git.Repository) error {
		t, err = object.GetTree(g.Storer, hash)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w", hash, err)
	}
	return t, nil
}

func (r *Repo) blob(hash plumbing.Hash) (b *object.Blob, err error) {
	err = r.again(func(g *git.Repository) error {
		b, err = g.BlobObject(hash)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blob %s: %w", hash, err)
	}
	return b, nil
}

// DefaultBranch returns the name of the branch that HEAD stands for, whether it
// has a commit or not; "" when HEAD is no branch.
func (r *Repo) DefaultBranch() string {
	head, err := r.git.Reference(plumbing.HEAD, false)
	if err != nil || !head.Target().IsBranch() {
		return ""
	}
	return head.Target().Short()
}
