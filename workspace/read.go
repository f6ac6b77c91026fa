// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// The summaries of reading.
const (
	summaryUnreadable = "cannot read"
	summaryNotRead    = "file is not read"
	summaryTooLarge   = "file too large"
	summaryLeaves     = "symbolic link leaves the workspace"
	summaryWriting    = "file is being written"
)

// maxFile is how large a file may be.
const maxFile = 8 << 20

// read returns the content of a file of files, which is called display in
// messages. Problems are reported; they make the tree partial when the file may
// hold objects. required says that the file must be a document.
func (t *Tree) read(files fs.FS, name, display string, required bool) ([]byte, bool) {
	if !required && t.isOutput(files, name) {
		return nil, false
	}
	src, size, err := readWhole(files, name)
	switch {
	case errors.Is(err, errWriting):
		t.beingWritten(display, src, required)
	case err != nil && escapes(err):
		t.linkLeaves(display, required)
	case err != nil:
		t.report.fail(at(display), summaryUnreadable, "", "%v", cause(err))
		t.isPartial(at(display), "the file cannot be read")
	case size > maxFile:
		t.tooLarge(display, src, size, required)
	default:
		return src, true
	}
	return nil, false
}

// isOutput reports whether a file is one that this program prints to.
func (t *Tree) isOutput(files fs.FS, name string) bool {
	if len(t.opt.Outputs) == 0 {
		return false
	}
	info, err := fs.Stat(files, name)
	return err == nil && slices.ContainsFunc(t.opt.Outputs, func(out fs.FileInfo) bool { return os.SameFile(info, out) })
}

// errWriting says that only a part of a file may be there.
var errWriting = errors.New(summaryWriting)

// readWhole is readAll of a file that nobody writes to meanwhile; with the error
// errWriting, src is what there is of it.
func readWhole(files fs.FS, name string) (src []byte, size int64, err error) {
	for range 3 {
		if src, size, err = readAll(files, name); !errors.Is(err, errChanged) {
			return src, size, err
		}
	}
	return src, size, errWriting
}

// errChanged says that a file has changed while it was read.
var errChanged = errors.New("the file has changed while it was read")

// readAll reads at most one byte more than a file may hold; size is that of the
// whole file.
func readAll(files fs.FS, name string) (src []byte, size int64, err error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("it is not a regular file")
	}
	size = min(info.Size(), maxFile)
	buf := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	n, err := io.Copy(buf, io.LimitReader(f, maxFile+1))
	if err == nil {
		err = readInPeace(f, info)
	}
	return buf.Bytes(), max(info.Size(), n), err
}

// readInPeace returns an error if somebody writes to f, or did since before.
func readInPeace(f fs.File, before fs.FileInfo) error {
	if BeingWritten(f) {
		return errWriting
	}
	after, err := f.Stat()
	if err == nil && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		return errChanged
	}
	return err
}

// plainData is how much of a file without an apiVersion shows that there will be
// none.
const plainData = 4096

// beingWritten reports a file of which only a part may be there. Whatever it
// says is not acted on; one that holds no object yet only keeps things from being
// deleted, and what is plainly no object of anybody is as good as complete.
func (t *Tree) beingWritten(display string, part []byte, required bool) {
	object := required || bytes.Contains(part, []byte("apiVersion"))
	if !object && len(part) >= plainData {
		return
	}
	t.lookAgain = true
	t.isPartial(at(display), summaryWriting)
	hint, detail := "name it in "+ignoreFile+" if it holds no objects", "somebody has it open for writing"
	if required {
		hint = ""
	}
	if object {
		t.report.fail(at(display), summaryWriting, hint, "%s; nothing is done until it is closed", detail)
		return
	}
	t.report.warn(at(display), summaryWriting, hint, "%s; nothing is deleted until it is closed", detail)
}

// tooLarge reports a large file. Data that is plainly no object of anybody is
// only mentioned.
func (t *Tree) tooLarge(display string, head []byte, size int64, required bool) {
	if !required && !bytes.Contains(head, []byte("apiVersion")) {
		t.ignored = append(t.ignored, schema.Ignored{Pos: at(display), Why: "too large, and without an apiVersion at its beginning"})
		return
	}
	t.report.fail(at(display), summaryTooLarge, "name it in "+ignoreFile+" if it holds no objects", "it has %d bytes; at most %d are read", size, maxFile)
	t.isPartial(at(display), "the file is too large")
}

func (t *Tree) isPartial(pos schema.Pos, why string) {
	t.partial = append(t.partial, plan.Reason{Code: plan.CodePartial, Text: why, Origin: pos.String()})
}

func (t *Tree) linkLeaves(display string, required bool) {
	detail, hint := "it is not followed", "put the file itself there"
	if required {
		t.report.fail(at(display), summaryLeaves, hint, "%s", detail)
		t.isPartial(at(display), summaryLeaves)
		return
	}
	t.report.warn(at(display), summaryLeaves, hint, "%s", detail)
}

func (t *Tree) linkBroken(display string, required bool, err error) {
	if required || !isNotExist(err) {
		t.report.fail(at(display), summaryUnreadable, "", "%v", cause(err))
		t.isPartial(at(display), "the file cannot be read")
		return
	}
	t.report.warn(at(display), summaryUnreadable, "", "the symbolic link leads nowhere")
}

// resolved is where a link of the workspace leads, as a slash path in it.
func (t *Tree) resolved(name string) string {
	target, err := t.real(filepath.Join(t.root, filepath.FromSlash(name)))
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(t.root, target)
	if err != nil {
		return ""
	}
	return filepath.ToSlash(rel)
}

// leadsToFolder reports whether a link leads to a folder outside of the
// workspace.
func (t *Tree) leadsToFolder(name string) bool {
	if t.commit != nil {
		return false // there is nothing outside of a commit
	}
	info, err := os.Stat(filepath.Join(t.root, filepath.FromSlash(name)))
	return err == nil && info.IsDir()
}

// escapes reports whether an os.Root refused to leave its folder, for which
// there is no sentinel.
func escapes(err error) bool {
	return strings.Contains(cause(err).Error(), "escapes from parent")
}

// cause drops operation and path, which a message already names.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
