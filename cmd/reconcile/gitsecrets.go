// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"reconcile/repos"
	"reconcile/workspace"
)

// maxSecret bounds a file of the secrets directory, as Podman bounds a secret.
const maxSecret = 512_000

// sealedSecrets are the Secret documents of the workspace that repositories are
// asked for with, as they were when it was last read.
type sealedSecrets struct {
	mu    sync.Mutex
	known map[string]workspace.GitSecret
}

// documentPrefix stands before the namespace and the name of a Secret document. No
// file is called so.
const documentPrefix = "Secret/"

// put keeps a document, and returns what repos.Source.SecretRef is to say.
func (s *sealedSecrets) put(name string, values workspace.GitSecret) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]workspace.GitSecret{}
	}
	s.known[documentPrefix+name] = values
	return documentPrefix + name
}

// get returns a document by what put returned.
func (s *sealedSecrets) get(ref string) (workspace.GitSecret, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	values, ok := s.known[ref]
	return values, ok
}

// gitSecret is what a repository is asked for with: a Secret document of the
// workspace, a file of the secrets directory, or the files of a folder there.
func (a *app) gitSecret(name string) (repos.Secret, error) {
	if values, ok := a.sealed.get(name); ok {
		return a.openGitSecret(values)
	}
	s, err := a.readSecret(name)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return s, nil
}

// openGitSecret opens the values of a Secret document.
func (a *app) openGitSecret(values workspace.GitSecret) (repos.Secret, error) {
	opener := a.opener()
	s := repos.Secret{}
	for _, key := range slices.Sorted(maps.Keys(values.Keys)) {
		value, err := opener.Open(context.Background(), values.Keys[key])
		if err != nil {
			return nil, err // it says of what
		}
		s[key] = value
	}
	return s, nil
}

func (a *app) readSecret(name string) (repos.Secret, error) {
	if a.secretsDir == "" {
		return nil, errors.New("there is no --secrets-dir")
	}
	root, err := os.OpenRoot(a.secretsDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		value, err := readSecretIn(root.FS(), name)
		return repos.Secret{"": value}, err
	}
	s := repos.Secret{}
	for _, key := range repos.SecretKeys() {
		value, err := readSecretIn(root.FS(), path.Join(name, key))
		switch {
		case err == nil:
			s[key] = value
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if len(s) == 0 {
		return nil, fmt.Errorf("the folder has none of %s", strings.Join(repos.SecretKeys(), ", "))
	}
	return s, nil
}

func readSecretIn(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(b) > maxSecret {
		err = errors.New("larger than 500 KiB")
	}
	return b, err
}
