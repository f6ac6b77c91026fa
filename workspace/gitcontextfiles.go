// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"reconcile/reconcile/plan"
	"reconcile/tree"
)

// maxContextFile bounds a single file, which is kept in memory.
const maxContextFile = 64 << 20

// readContexts reads what the contexts hold.
func (t *Tree) readContexts(ctx context.Context) {
	hash := t.opt.Hash
	if hash == nil {
		hash = tree.Hash
	}
	for _, c := range t.contexts {
		if ctx.Err() != nil {
			return
		}
		if c.files == nil {
			continue
		}
		var no *refusal
		if c.content, no = c.read(hash); no != nil {
			t.blockContext(c, c.where(), no.code, summaryContext, no.hint, "the context %s: %s", c.name, no.text)
		}
	}
}

// refusal is why something is not done, for a message.
type refusal struct {
	code                plan.Code
	summary, hint, text string
}

func (c *gitContext) read(hash func(fs.FS) (string, error)) (gitContent, *refusal) {
	fail := func(hint, format string, args ...any) (gitContent, *refusal) {
		return gitContent{}, &refusal{code: plan.CodePending, hint: hint, text: fmt.Sprintf(format, args...)}
	}
	at, err := linkFS{c.files}.resolve("open", c.path(), true)
	switch {
	case err == nil:
	case errors.Is(err, errEscapes):
		return fail("", "a link on the way to %s leads out of the repository at %.12s", c.path(), c.commit)
	case errors.Is(err, fs.ErrNotExist) && c.inSubmodule(path.Dir(c.path())):
		return fail(recurseHint, "%s is in a submodule, whose files are left out", c.path())
	case errors.Is(err, fs.ErrNotExist):
		return fail("", "there is no %s in commit %.12s of %s", c.path(), c.commit, safeURL(c.src.Repository.V))
	default:
		return fail("", "%v", err)
	}
	info, err := fs.Lstat(c.files, at)
	switch {
	case err != nil:
		return fail("", "%v", err)
	case !info.IsDir():
		content, err := readBounded(c.files, at)
		if err != nil {
			return fail("", "%v", err)
		}
		file := gitContent{Name: path.Base(c.path()), Content: content}
		if info.Mode()&0o111 != 0 {
			file.Mode = 0o755
		}
		return file, nil
	case c.inSubmodule(at):
		return fail(recurseHint, "%s is a submodule, whose files are left out", c.path())
	}
	content, err := c.folder(at, hash)
	if err != nil {
		return fail("", "its files cannot be copied: %v", err)
	}
	return content, nil
}

const recurseHint = "recurseSubmodules: true brings them"

// inSubmodule reports whether the folder dir, or the first one above it that
// there is, is a submodule that was left out: git knows no other empty folders.
func (c *gitContext) inSubmodule(dir string) bool {
	if c.src.RecurseSubmodules {
		return false
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if entries, err := fs.ReadDir(c.files, dir); err == nil {
			return len(entries) == 0
		}
	}
	return false
}

func (c *gitContext) folder(dir string, hash func(fs.FS) (string, error)) (gitContent, error) {
	files, err := fs.Sub(c.files, dir)
	if err != nil {
		return gitContent{}, err
	}
	sum, err := hash(files)
	if err != nil {
		return gitContent{}, err
	}
	s, ok := c.files.(sourcer)
	if !ok {
		return gitContent{}, errors.New("the repository cannot name its folders")
	}
	from, err := s.Source(dir)
	return gitContent{Files: files, From: from, TreeHash: sum}, err
}

func readBounded(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxContextFile+1))
	if err == nil && len(b) > maxContextFile {
		err = fmt.Errorf("%s is larger than %d MiB; give its folder", name, maxContextFile>>20)
	}
	return b, err
}
