// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const summaryConfigFile = "file of a ConfigMap cannot be read"

// blob is the content of a file.
type blob struct {
	data   []byte
	digest string // sha256:HEX, once it is asked for
	mode   uint32 // as in plan.File
}

// sum is the digest of b's content.
func (b *blob) sum() string {
	if b.digest == "" {
		sum := sha256.Sum256(b.data)
		b.digest = "sha256:" + hex.EncodeToString(sum[:])
	}
	return b.digest
}

// configFile is a file that a ConfigMap names: its content, or why there is none.
type configFile struct {
	data   []byte
	reason *plan.Reason
}

// readConfigFiles reads the files that ConfigMaps name, relative to their
// documents. What cannot be read is reported, and blocks what uses it.
func (t *Tree) readConfigFiles(ctx context.Context) {
	t.configFiles = map[schema.Pos]configFile{}
	for _, doc := range t.documents {
		m, ok := doc.Object.(*schema.ConfigMap)
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(m.Files)) {
			if ctx.Err() != nil {
				return
			}
			t.configFiles[m.Files[key].Pos] = t.readConfigFile(m.Files[key])
		}
	}
}

func (t *Tree) readConfigFile(file schema.Str) configFile {
	block := func(code plan.Code, hint, format string, args ...any) configFile {
		reason := t.report.block(file.Pos, code, summaryConfigFile, hint, "%s: %s", file.V, fmt.Sprintf(format, args...))
		return configFile{reason: &reason}
	}
	name := path.Join(path.Dir(file.Pos.File), file.V)
	if t.isPrivate(name) {
		return block(plan.CodePolicy, "", "it is not given away: it belongs to git, the state directory or that of secrets")
	}
	src, size, err := readWhole(t.files, name)
	switch {
	case errors.Is(err, errWriting):
		t.lookAgain = true
		return block(plan.CodeUnknown, "", "somebody has it open for writing")
	case err != nil && isNotExist(err):
		return block(plan.CodePending, "the path is relative to the folder of this document", "there is no such file")
	case err != nil && escapes(err):
		return block(plan.CodeInvalid, "put the file itself there", "the path leads through a symbolic link out of the workspace")
	case err != nil:
		return block(plan.CodeInvalid, "", "%v", cause(err))
	case size > maxFile:
		return block(plan.CodeInvalid, "keep large data in a git repository, and use a Context of the type Git", "it has %d bytes; at most %d (%d MiB) are read", size, maxFile, maxFile>>20)
	}
	return configFile{data: src}
}

// isPrivate reports whether a file of the workspace is git's, or lies in the state
// directory or that of secrets, which may be in the workspace.
func (t *Tree) isPrivate(name string) bool {
	if slices.Contains(strings.Split(name, "/"), ".git") {
		return true
	}
	real, err := t.real(filepath.Join(t.root, filepath.FromSlash(name)))
	if err != nil {
		return false // which is found out when it is read
	}
	if rel, err := filepath.Rel(t.root, real); err == nil && slices.Contains(strings.Split(filepath.ToSlash(rel), "/"), ".git") {
		return true
	}
	for _, own := range []string{t.opt.StateDir, t.opt.SecretsDir} {
		if own == "" || within(t.root, filepath.Clean(own)) {
			continue
		}
		if place, err := filepath.EvalSymlinks(own); err == nil && within(real, place) || within(real, filepath.Clean(own)) {
			return true
		}
	}
	return false
}

// configMap is a ConfigMap with the files that it names.
type configMap struct {
	doc     schema.Document
	files   map[string]*blob       // by key
	missing map[string]plan.Reason // keys whose file cannot be read
}

// configMap returns what a ConfigMap of the workspace holds; nil = there is none.
func (r *resolver) configMap(id plan.ID) *configMap {
	if m, known := r.objects.configs[id]; known {
		return m
	}
	doc, ok := r.objects.byID[id]
	if !ok {
		return nil
	}
	m := &configMap{doc: doc, files: map[string]*blob{}, missing: map[string]plan.Reason{}}
	r.objects.configs[id] = m
	c, ok := doc.Object.(*schema.ConfigMap)
	if !ok {
		return m
	}
	for key, text := range c.Data {
		m.files[key] = &blob{data: []byte(text)}
	}
	for key, data := range c.Binary {
		m.files[key] = &blob{data: data}
	}
	for key, name := range c.Files {
		f := r.tree.configFiles[name.Pos]
		if f.reason != nil {
			m.missing[key] = *f.reason
			continue
		}
		m.files[key] = &blob{data: f.data}
	}
	return m
}

// keys are those of all files, read or not.
func (m *configMap) keys() []string {
	keys := slices.Concat(slices.Collect(maps.Keys(m.files)), slices.Collect(maps.Keys(m.missing)))
	slices.Sort(keys)
	return keys
}
