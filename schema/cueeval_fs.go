// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cuelang.org/go/mod/modfile"
	"cuelang.org/go/mod/module"
)

const (
	schemaMajor   = SchemaModule + "@v1"
	schemaVersion = "v1.0.0"
	schemaFolder  = ".reconcile-schema" // where evalFS keeps our definitions
	languageOfCUE = "v0.17.0"
	moduleFile    = "cue.mod/module.cue"
)

// memFS is a file system of regular files in memory: no links, nothing above
// its root.
type memFS struct {
	files map[string][]byte
	dirs  map[string][]fs.DirEntry
}

// evalFS is what CUE may read: the request's files, our definitions, and a
// module file that makes them importable.
func evalFS(files map[string][]byte) (*memFS, error) {
	all := make(map[string][]byte, len(files)+16)
	for name, content := range files {
		if !fs.ValidPath(name) || name == "." {
			return nil, fmt.Errorf("the file name %q is not a relative slash path", name)
		}
		if path.Base(path.Dir(name)) == "cue.mod" && path.Base(name) == "module.cue" {
			content = withSchemaDep(content)
		}
		all[name] = content
	}
	if _, own := all[moduleFile]; !own {
		all[moduleFile] = withSchemaDep([]byte("module: \"workspace.local@v0\"\nlanguage: version: \"" + languageOfCUE + "\"\n"))
	}
	names, err := fs.Glob(definitionFiles, "*.cue")
	if err != nil {
		return nil, fmt.Errorf("list definitions: %w", err)
	}
	for _, name := range names {
		src, err := definitionFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read definitions: %w", err)
		}
		all[schemaFolder+"/"+name] = src
	}
	all[schemaFolder+"/"+moduleFile] = schemaModuleFile()
	return newMemFS(all), nil
}

func schemaModuleFile() []byte {
	return []byte("module: \"" + schemaMajor + "\"\nlanguage: version: \"" + languageOfCUE + "\"\n")
}

// withSchemaDep adds our module to the dependencies of a module file. A file
// that cannot be parsed is left as it is, for the loader to complain about.
func withSchemaDep(content []byte) []byte {
	f, err := modfile.ParseNonStrict(content, moduleFile)
	if err != nil {
		return content
	}
	changed := *f
	changed.Deps = maps.Clone(f.Deps)
	if changed.Deps == nil {
		changed.Deps = map[string]*modfile.Dep{}
	}
	changed.Deps[schemaMajor] = &modfile.Dep{Version: schemaVersion, Default: true}
	out, err := modfile.Format(&changed)
	if err != nil {
		return content
	}
	return out
}

// modulePath is the path, with its major version, of the module in a folder;
// "" when its module file is broken.
func (m *memFS) modulePath(root string) string {
	f, err := modfile.ParseNonStrict(m.files[path.Join(root, moduleFile)], moduleFile)
	if err != nil {
		return ""
	}
	return f.QualifiedModule()
}

// moduleRoot is the nearest folder at or above dir that has a module file; ""
// is the root.
func moduleRoot(fsys *memFS, dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := fsys.files[dir+"/"+moduleFile]; ok {
			return dir
		}
	}
	return ""
}

// schemaRegistry serves our module and no other, from memory.
type schemaRegistry struct{ fsys *memFS }

func (schemaRegistry) known(m module.Version) error {
	if m.Path() != schemaMajor {
		return fmt.Errorf("module %s is not available: only %s is", m.Path(), SchemaModule)
	}
	return nil
}

func (r schemaRegistry) ModFile(_ context.Context, m module.Version) (*modfile.File, error) {
	if err := r.known(m); err != nil {
		return nil, err
	}
	return modfile.Parse(schemaModuleFile(), moduleFile)
}

func (r schemaRegistry) Fetch(_ context.Context, m module.Version) (module.SourceLoc, error) {
	if err := r.known(m); err != nil {
		return module.SourceLoc{}, err
	}
	sub, err := fs.Sub(r.fsys, schemaFolder)
	if err != nil {
		return module.SourceLoc{}, fmt.Errorf("open definitions: %w", err)
	}
	return module.SourceLoc{FS: rootedFS{sub, "/" + schemaFolder}, Dir: "."}, nil
}

func (schemaRegistry) ModuleVersions(_ context.Context, mpath string) ([]string, error) {
	if mpath == schemaMajor || mpath == SchemaModule {
		return []string{schemaVersion}, nil
	}
	return nil, nil
}

// rootedFS says where in the loader's file system a module lies.
type rootedFS struct {
	fs.FS
	root string
}

func (r rootedFS) OSRoot() string { return r.root }

func newMemFS(files map[string][]byte) *memFS {
	m := &memFS{files: files, dirs: map[string][]fs.DirEntry{".": nil}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		m.addEntry(memInfo{name: name, size: int64(len(files[name]))})
	}
	for _, entries := range m.dirs {
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return m
}

func (m *memFS) addEntry(info memInfo) {
	dir := path.Dir(info.name)
	_, known := m.dirs[dir]
	m.dirs[dir] = append(m.dirs[dir], fs.FileInfoToDirEntry(info))
	if !known {
		m.addEntry(memInfo{name: dir, dir: true})
	}
}

// Open implements [fs.FS].
func (m *memFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if content, ok := m.files[name]; ok {
		return &memFile{Reader: bytes.NewReader(content), info: memInfo{name: name, size: int64(len(content))}}, nil
	}
	if entries, ok := m.dirs[name]; ok {
		return &memDir{info: memInfo{name: name, dir: true}, rest: entries}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string       { return path.Base(i.name) }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.dir }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type memFile struct {
	*bytes.Reader
	info memInfo
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *memFile) Close() error               { return nil }

type memDir struct {
	info memInfo
	rest []fs.DirEntry
}

func (d *memDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *memDir) Close() error               { return nil }
func (d *memDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: fs.ErrInvalid}
}

func (d *memDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.rest) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.rest) {
		n = len(d.rest)
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return slices.Clone(out), nil
}
