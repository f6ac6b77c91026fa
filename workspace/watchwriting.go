// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// fresh is how long ago a file must have been written to count as finished where
// the system does not tell who has it open.
const fresh = 100 * time.Millisecond

// BeingWritten reports whether somebody has the file f open for writing, so that
// only a part of it may be there. On Linux the kernel is asked with a lease, which
// it grants to the owner of the file and to root. Where that is not to be had, a
// file counts as being written until 100 ms after the last write.
func BeingWritten(f fs.File) bool {
	if c, ok := f.(syscall.Conn); ok {
		if writing, known := lease(c); known {
			return writing
		}
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	age := time.Since(info.ModTime())
	return age.Abs() < fresh
}

// openForWriting is BeingWritten of the file path.
func openForWriting(path string) bool {
	f, err := openQuietly(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return BeingWritten(f)
}

// openDocuments lists the documents of folders that are being written.
func (w *Watcher) openDocuments(dirs map[string]bool) []string {
	var open []string
	r := w.reader()
	for dir := range dirs {
		f := w.view.folders[dir]
		if f == nil || f.only != nil {
			continue
		}
		entries, _ := r.entries(dir, f) // of what cannot be read nothing is written
		for _, e := range entries {
			path := filepath.Join(dir, e.name)
			if isDocument(e.name) && e.info.Mode().IsRegular() && openForWriting(path) {
				open = append(open, path)
			}
		}
	}
	return open
}
