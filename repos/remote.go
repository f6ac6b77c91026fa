// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"context"
	"fmt"
	"strings"
)

// remote is a repository somewhere else, during one conversation with it.
type remote interface {
	// list asks for the references. An empty repository has none, which is no
	// error.
	list(ctx context.Context) (listing, error)
	// fetch brings objects into the bare repository in the folder dir, which
	// exists. It is called after list, any number of times.
	fetch(ctx context.Context, dir string, w wants) error
	close() error
}

// listing is what a remote has.
type listing struct {
	refs map[string]tip // by whole name, HEAD among them
	// exact says that commits may be asked for that no reference points to.
	exact bool
}

// tip is what a reference points to.
type tip struct {
	object string // an annotated tag, or the commit
	commit string // the object, peeled
}

// wants is what is to be fetched.
type wants struct {
	tips []want
	// depth is how many commits deep; 0 = all history.
	depth int
	// haves are commits that are there with all of their history.
	haves []string
	// admit waits for leave to take in a large pack; nil = there is no need.
	admit func(context.Context) (leave func(), err error)
}

// want is a tip with the whole name of its reference; "" = no reference points
// to it.
type want struct {
	name string
	tip
}

// resolve returns the tip that ref names, in the order of [Repo.Commit].
func (l listing) resolve(ref string) (want, error) {
	names := []string{"refs/heads/" + ref, "refs/tags/" + ref}
	switch {
	case ref == "":
		names = []string{"HEAD"}
	case strings.HasPrefix(ref, "refs/"):
		names = append(names, ref)
	}
	for _, name := range names {
		if t, ok := l.refs[name]; ok {
			return want{name, t}, nil
		}
	}
	switch {
	case len(l.refs) == 0:
		return want{}, fmt.Errorf("%w: the repository is empty", ErrNoRef)
	case ref == "":
		return want{}, fmt.Errorf("%w: the default branch has no commit", ErrNoRef)
	case abbreviated.MatchString(ref) && len(ref) >= 7:
		return want{}, fmt.Errorf("%w: %q (a commit is named by all of its 40 digits)", ErrNoRef, ref)
	}
	return want{}, fmt.Errorf("%w: %q", ErrNoRef, ref)
}

// pointsTo returns the tip of any reference to a commit.
func (l listing) pointsTo(commit string) (want, bool) {
	best := want{}
	for name, t := range l.refs {
		if t.commit == commit && (best.name == "" || name < best.name) {
			best = want{name, t}
		}
	}
	return best, best.name != ""
}

// dial starts a conversation with the repository of src at u.
func (s *Store) dial(u URL, src Source) (remote, error) {
	switch {
	case src.Exec:
		return s.dialGit(u, src)
	case u.Scheme == "ssh":
		return s.dialSSH(u, src)
	default:
		return s.dialHTTP(u, src)
	}
}
