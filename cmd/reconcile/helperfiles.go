// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"errors"
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

// helperFiles returns the files of the helper folder by name: the embedded
// ones, else those beside the executable.
func helperFiles() (map[string][]byte, error) {
	beside := ""
	if self, err := os.Executable(); err == nil {
		beside = filepath.Dir(self)
	}
	return readHelperFiles(embedded, beside)
}

func readHelperFiles(embedded fs.FS, beside string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range helperNames {
		data, err := fs.ReadFile(embedded, path.Join("embedded", name))
		if errors.Is(err, fs.ErrNotExist) && beside != "" {
			data, err = os.ReadFile(filepath.Join(beside, name))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("this build lacks the helper file %s and there is none in %s; build with `make build`", name, beside)
		}
		if err != nil {
			return nil, fmt.Errorf("read helper file: %w", err)
		}
		files[name] = data
	}
	return files, nil
}
