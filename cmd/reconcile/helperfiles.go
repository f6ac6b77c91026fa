// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// embedded holds the helper files of a build by `make build`, and of any other
// build only a README.
//
//go:embed embedded
var embedded embed.FS

// helperNames are the files that are mounted at /Agent.
var helperNames = [...]string{"agent-server", "default_cli.sh"}

// helperFiles returns what reads the files of the helper folder by name: the
// embedded ones, else those beside the executable. The error is for a build that
// has neither.
func helperFiles() (func() (map[string][]byte, error), error) {
	beside := ""
	if self, err := os.Executable(); err == nil {
		beside = filepath.Dir(self)
	}
	return findHelperFiles(embedded, beside)
}

func findHelperFiles(embedded fs.FS, beside string) (func() (map[string][]byte, error), error) {
	place := map[string]fs.FS{} // by path
	for _, name := range helperNames {
		file := path.Join("embedded", name)
		if _, err := fs.Stat(embedded, file); err == nil {
			place[file] = embedded
			continue
		}
		if beside != "" {
			if _, err := os.Stat(filepath.Join(beside, name)); err == nil {
				place[name] = os.DirFS(beside)
				continue
			}
		}
		return nil, fmt.Errorf("this build lacks the helper file %s and there is none in %s; build with `make build`", name, beside)
	}
	return func() (map[string][]byte, error) {
		files := map[string][]byte{}
		for file, from := range place {
			data, err := fs.ReadFile(from, file)
			if err != nil {
				return nil, fmt.Errorf("read helper file: %w", err)
			}
			files[path.Base(file)] = data
		}
		return files, nil
	}, nil
}
