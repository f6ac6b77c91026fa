// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// CopyOptions says whom a copy belongs to.
type CopyOptions struct {
	UID, GID int // owner of every entry, the folder dst included; -1 = whoever copies
}

// Copy writes src into the folder dst, which is made when it is missing (its
// parent must exist) and must be empty. Folders and executable files have mode
// 0755, other files 0644, whatever the umask. Symlinks are copied as they are.
//
// What Copy wrote before an error stays; a caller that needs all or nothing
// copies beside the final place and renames.
func Copy(dst string, src fs.FS, opt CopyOptions) error {
	entries, err := list(src)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dst, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("copy: %w", err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer root.Close()
	present, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return fmt.Errorf("copy to %q: %w", dst, unwrapPath(err))
	}
	if len(present) > 0 {
		return fmt.Errorf("copy to %q: the folder is not empty", dst)
	}

	c := copier{root: root, src: src, opt: opt}
	if err := c.finish(entry{path: ".", kind: dir}); err != nil {
		return fmt.Errorf("copy to %q: %w", dst, err)
	}
	for _, e := range entries {
		if err := c.copy(e); err != nil {
			return fmt.Errorf("copy %q: %w", e.path, unwrapPath(err))
		}
	}
	return nil
}

type copier struct {
	root *os.Root
	src  fs.FS
	opt  CopyOptions
}

func (c *copier) copy(e entry) error {
	switch e.kind {
	case dir:
		if err := c.root.Mkdir(e.path, 0o755); err != nil {
			return err
		}
	case link:
		if err := c.root.Symlink(e.target, e.path); err != nil {
			return err
		}
	default:
		if err := c.content(e); err != nil {
			return err
		}
	}
	return c.finish(e)
}

func (c *copier) content(e entry) error {
	in, err := c.src.Open(e.path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := c.root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// finish gives e its owner, then its mode: a change of owner may clear bits.
func (c *copier) finish(e entry) error {
	if c.opt.UID >= 0 || c.opt.GID >= 0 {
		if err := c.root.Lchown(e.path, c.opt.UID, c.opt.GID); err != nil {
			return err
		}
	}
	switch e.kind {
	case link:
		return nil
	case file:
		return c.root.Chmod(e.path, 0o644)
	}
	return c.root.Chmod(e.path, 0o755)
}
