// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestHelperFiles(t *testing.T) {
	built := fstest.MapFS{
		"embedded/agent-server":   {Data: []byte("elf")},
		"embedded/default_cli.sh": {Data: []byte("sh")},
		"embedded/README":         {Data: []byte("text")},
	}
	unbuilt := fstest.MapFS{"embedded/README": {Data: []byte("text")}}
	beside := t.TempDir()
	for name, data := range map[string]string{"agent-server": "elf beside", "default_cli.sh": "sh beside"} {
		if err := os.WriteFile(filepath.Join(beside, name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name     string
		embedded fstest.MapFS
		beside   string
		want     map[string][]byte
		err      string
	}{
		{"embedded", built, t.TempDir(), map[string][]byte{"agent-server": []byte("elf"), "default_cli.sh": []byte("sh")}, ""},
		{"embedded wins", built, beside, map[string][]byte{"agent-server": []byte("elf"), "default_cli.sh": []byte("sh")}, ""},
		{"beside", unbuilt, beside, map[string][]byte{"agent-server": []byte("elf beside"), "default_cli.sh": []byte("sh beside")}, ""},
		{"neither", unbuilt, t.TempDir(), nil, "build with `make build`"},
		{"unknown place", unbuilt, "", nil, "build with `make build`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got map[string][]byte
			read, err := findHelperFiles(tt.embedded, tt.beside)
			if err == nil {
				got, err = read()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("files (-want +got)\n%s", diff)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want one with %q", err, tt.err)
			}
		})
	}
}
