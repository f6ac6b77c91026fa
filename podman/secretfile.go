// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxSecret is what a value that Podman keeps must be shorter than.
const maxSecret = 512000

// keyPart is one value of a secret with several.
func (r *Runtime) keyPart(ref, name string, held heldSecrets) (secretPart, error) {
	of, key, ok := strings.Cut(name, "/")
	p := secretPart{ref: ref, key: key}
	if !ok || of == "" || !isKey(key) || !isKey(of) {
		return p, fmt.Errorf("secret reference %q: want key:NAME/KEY", ref)
	}
	for _, known := range []string{of + "." + key, of} {
		if p.info = held[known]; p.info != nil {
			return p, nil
		}
	}
	var err error
	p.value, err = r.secretFile(of + "/" + key)
	p.fromFile = true
	if errors.Is(err, errNoSecret) {
		err = missingSecret{fmt.Errorf("there is no secret %s with the key %s: %s", of, key, r.placesOf(of+"."+key+" or "+of, of+"/"+key))}
	}
	return p, err
}

// placesOf says where a secret was looked for.
func (r *Runtime) placesOf(inPodman, file string) string {
	if r.opt.SecretsDir == "" {
		return "Podman has no secret " + inPodman + ", and there is no secrets directory"
	}
	return "Podman has no secret " + inPodman + ", and " + r.opt.SecretsDir + " no file " + file
}

// keyParts are all values of a secret, those of Podman or those in a folder.
func (r *Runtime) keyParts(name string, held heldSecrets) ([]secretPart, error) {
	if !isKey(name) {
		return nil, fmt.Errorf("secret reference %q: want keys:NAME", "keys:"+name)
	}
	var parts []secretPart
	for known, info := range held {
		if key, ok := strings.CutPrefix(known, name+"."); ok && isKey(key) {
			parts = append(parts, secretPart{ref: keyRef(name, key), key: key, info: info})
		}
	}
	if len(parts) == 0 {
		var err error
		if parts, err = r.keyFiles(name); err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 {
		return nil, missingSecret{fmt.Errorf("there is no secret %s: %s", name, r.placesOf(name+".*", name+"/*"))}
	}
	slices.SortFunc(parts, compareParts)
	return parts, nil
}

func keyRef(name, key string) string { return "key:" + name + "/" + key }

// isKey reports whether a name stands for one file and no other.
func isKey(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

// keyFiles reads the files of a folder of the secrets directory, without those
// whose names begin with a dot.
func (r *Runtime) keyFiles(name string) ([]secretPart, error) {
	root, err := r.secretsRoot()
	if root == nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	var parts []secretPart
	for _, e := range entries {
		key := e.Name()
		if strings.HasPrefix(key, ".") {
			continue
		}
		value, err := readSecret(root, name+"/"+key)
		if err != nil {
			return nil, err
		}
		parts = append(parts, secretPart{ref: keyRef(name, key), key: key, value: value, fromFile: true})
	}
	return parts, nil
}

// secretFile reads a file of the secrets directory, byte for byte.
func (r *Runtime) secretFile(name string) ([]byte, error) {
	if r.opt.SecretsDir == "" {
		return nil, fmt.Errorf("%w: Podman has no secret %s, and there is no secrets directory", errNoSecret, name)
	}
	missing := fmt.Errorf("%w: neither Podman nor %s has a secret %s", errNoSecret, r.opt.SecretsDir, name)
	root, err := r.secretsRoot()
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, missing
	}
	defer root.Close()
	value, err := readSecret(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	return value, err
}

// secretsRoot opens the secrets directory; nil = there is none. A Root follows no
// link out of the folder.
func (r *Runtime) secretsRoot() (*os.Root, error) {
	if r.opt.SecretsDir == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	root, err := os.OpenRoot(r.opt.SecretsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("secrets directory: %w", err)
	}
	return root, nil
}

func readSecret(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("secret %s: %s is not a regular file", name, root.Name()+"/"+name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if len(b) > maxSecret { // a newline more than what Podman keeps
		return nil, fmt.Errorf("secret %s: %w", name, errLongSecret)
	}
	return b, nil
}

var errLongSecret = fmt.Errorf("the value does not have fewer than %d bytes, which is what Podman keeps", maxSecret)
