// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// gitName is the name that is left out: a checkout's history is no content.
const gitName = ".git"

// maxHops bounds how many links one path may go through, as the kernel does.
const maxHops = 40

type kind byte

const (
	dir        kind = 'd'
	file       kind = 'f'
	executable kind = 'x'
	link       kind = 'l'
)

type entry struct {
	path   string
	kind   kind
	target string // of a link
	info   fs.FileInfo
}

// list returns every entry of fsys but the root, parents before children.
func list(fsys fs.FS) ([]entry, error) {
	var entries []entry
	links := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %q: %w", name, unwrapPath(err))
		}
		if name == "." {
			return nil
		}
		if d.Name() == gitName {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() && OfEditor(d.Name()) {
			return nil
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("%q: the name is not valid UTF-8", name)
		}
		e, err := describe(fsys, name, d)
		if err != nil {
			return err
		}
		if e.kind == link {
			links[e.path] = e.target
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.kind != link {
			continue
		}
		if err := inside(links, e.path); err != nil {
			return nil, fmt.Errorf("%q: symbolic link to %q %w", e.path, e.target, err)
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return entries, nil
}

func describe(fsys fs.FS, name string, d fs.DirEntry) (entry, error) {
	switch d.Type() {
	case fs.ModeDir:
		return entry{path: name, kind: dir}, nil
	case fs.ModeSymlink:
		target, err := fs.ReadLink(fsys, name)
		if err != nil {
			return entry{}, fmt.Errorf("read link %q: %w", name, unwrapPath(err))
		}
		return entry{path: name, kind: link, target: target}, nil
	case 0:
		info, err := d.Info()
		if err != nil {
			return entry{}, fmt.Errorf("read %q: %w", name, unwrapPath(err))
		}
		k := file
		if info.Mode()&0o111 != 0 {
			k = executable
		}
		return entry{path: name, kind: k, info: info}, nil
	}
	return entry{}, fmt.Errorf("%q: %s cannot be part of a folder of files", name, describeMode(d.Type()))
}

func describeMode(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

var (
	errAbsolute = errors.New("is absolute: only relative links inside the folder are allowed")
	errLeaves   = errors.New("leaves the folder")
	errLoop     = errors.New("goes through too many links")
)

// inside resolves the link name as the kernel would, through all other links of
// the folder, and fails when the way leads out. The target need not exist.
func inside(links map[string]string, name string) error {
	at, rest := path.Dir(name), links[name]
	for hops := 0; ; {
		if rest == "" {
			return nil
		}
		if strings.HasPrefix(rest, "/") {
			return errAbsolute
		}
		var first string
		first, rest, _ = strings.Cut(rest, "/")
		rest = strings.TrimLeft(rest, "/")
		switch first {
		case ".":
			continue
		case "..":
			if at == "." {
				return errLeaves
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, first)
		target, ok := links[next]
		if !ok {
			at = next
			continue
		}
		if hops++; hops > maxHops {
			return errLoop
		}
		rest = strings.TrimSuffix(target+"/"+rest, "/")
	}
}

// unwrapPath drops the operation and path that our own message already names.
func unwrapPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
