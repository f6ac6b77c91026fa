// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"time"
)

// apply makes the changes. What is written is on disk under another name before
// the first change, and what may be ours is noted before it is.
func (c *checkout) apply() error {
	missing := c.missingFolders()
	if len(c.writes)+len(c.removes)+len(missing) == 0 && len(c.was.Folders) == len(c.result.Folders) {
		return nil
	}
	if err := c.stage(); err != nil {
		return err
	}
	if err := c.save(c.union(missing)); err != nil {
		return err
	}
	for _, r := range slices.Backward(c.removes) {
		if err := c.remove(r); err != nil {
			return err
		}
	}
	if err := c.removeFolders(); err != nil {
		return err
	}
	for _, name := range missing {
		if err := c.makeFolder(name); err != nil {
			return err
		}
	}
	for _, w := range c.writes {
		if err := c.place(w); err != nil {
			return err
		}
	}
	if err := c.before("sync"); err != nil {
		return err
	}
	if err := c.disk.sync(); err != nil {
		return err
	}
	return c.disk.clearStaging()
}

// missingFolders are those of the commit that are not there, parents first. One
// where a file of ours is comes into being when that is removed.
func (c *checkout) missingFolders() []string {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(c.folders)) {
		if info, err := c.disk.lstat(name); err != nil || !info.IsDir() {
			missing = append(missing, name)
		}
	}
	return missing
}

// union is what may be ours while the changes are made.
func (c *checkout) union(folders []string) checkoutState {
	u := checkoutState{Files: map[string]written{}, Folders: map[string]bool{}}
	for _, s := range []checkoutState{c.was, c.result} {
		for name, w := range s.Files {
			ids := slices.Clone(u.Files[name].IDs)
			for _, id := range w.IDs {
				if !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			u.Files[name] = written{IDs: ids}
		}
		maps.Copy(u.Folders, s.Folders)
	}
	for _, name := range folders {
		u.Folders[name] = true
	}
	return u
}

// stage writes new content beside dir. Links are made when they are placed.
func (c *checkout) stage() error {
	if err := c.before("stage"); err != nil {
		return err
	}
	if err := c.disk.openStaging(); err != nil {
		return err
	}
	for i := range c.writes {
		w := &c.writes[i]
		if w.id.kind() == linkKind {
			continue
		}
		if err := c.before("write " + w.path); err != nil {
			return err
		}
		w.staged = strconv.Itoa(i)
		if err := c.stageFile(w); err != nil {
			return err
		}
	}
	written := time.Now()
	if err := c.disk.sync(); err != nil {
		return err
	}
	// Nobody else can give a file the time that it has now.
	time.Sleep(time.Until(written.Add(tick)))
	return nil
}

func (c *checkout) stageFile(w *change) (err error) {
	in, err := c.files.Open(w.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	mode := fs.FileMode(0o644)
	if w.id.kind() == scriptKind {
		mode = 0o755
	}
	w.info, err = c.disk.stage(w.staged, mode, func(out io.Writer) error {
		_, err := io.Copy(out, in)
		return err
	})
	return err
}

func (c *checkout) remove(r change) error {
	if err := c.before("remove " + r.path); err != nil {
		return err
	}
	done, err := c.disk.remove(r.path, r.seen)
	if err == nil && !done {
		c.kept = append(c.kept, r.path)
	}
	return err
}

// removeFolders removes those that a checkout made, when they are empty and the
// commit does not have them.
func (c *checkout) removeFolders() error {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(c.was.Folders))) {
		if c.folders[name] {
			continue
		}
		if err := c.before("remove " + name); err != nil {
			return err
		}
		gone, err := c.disk.removeFolder(name)
		if err != nil {
			return err
		}
		if !gone {
			c.result.Folders[name] = true
		}
	}
	return nil
}

func (c *checkout) makeFolder(name string) error {
	if err := c.before("make " + name); err != nil {
		return err
	}
	done, err := c.disk.mkdir(name)
	if done {
		c.result.Folders[name] = true
	}
	return err
}

func (c *checkout) place(w change) error {
	if err := c.before("place " + w.path); err != nil {
		return err
	}
	done, err := c.disk.place(w)
	switch {
	case err != nil:
		return err
	case !done:
		c.keep(w.path)
	default:
		c.result.Files[w.path] = writtenAs(w.wanted).at(seen{info: w.info, settled: true})
	}
	return nil
}
