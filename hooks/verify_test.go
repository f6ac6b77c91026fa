// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	sum := sha256.Sum256([]byte("exit 0\n"))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	for name, text := range map[string]string{"good.sh": "exit 0\n", "other.sh": "exit 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "out.sh")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"good.sh": "", "other.sh": "is not what the plan was made for", "gone.sh": "no such file", "out.sh": "escapes",
	} {
		err := verify(dir, map[string]string{name: digest})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
