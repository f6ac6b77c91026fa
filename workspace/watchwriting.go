// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// settledAfter is how long nothing must have been written to a file where the
// system does not tell who has it open.
const settledAfter = 100 * time.Millisecond

// BeingWritten reports whether somebody has the file f open for writing, so that
// only a part of it may be there. On Linux the kernel is asked by means of a
// lease, which it grants to the owner of the file and to root. Where it does not
// tell, a file that was just written to is looked at for 100 ms. Files that are
// not the operating system's never are.
func BeingWritten(f fs.File) bool {
	c, ok := f.(syscall.Conn)
	if !ok {
		return false
	}
	if writing, known := lease(c); known {
		return writing
	}
	before, err := f.Stat()
	if err != nil {
		return false
	}
	age := time.Since(before.ModTime()).Abs()
	if age >= settledAfter {
		return false
	}
	time.Sleep(settledAfter - age)
	after, err := f.Stat()
	return err == nil && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()))
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

// openDocuments lists those documents in a folder that are being written.
func openDocuments(dir string, entries []entry) []string {
	var open []string
	for _, e := range entries {
		path := filepath.Join(dir, e.name)
		if isDocument(e.name) && e.info.Mode().IsRegular() && openForWriting(path) {
			open = append(open, path)
		}
	}
	return open
}
