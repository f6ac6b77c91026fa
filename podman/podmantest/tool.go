// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

//go:embed testdata/tool/main.go
var toolSource []byte

// Tool returns the static test tool, for tests that put it into images or
// folders of their own.
func Tool(t testing.TB) []byte {
	t.Helper()
	b, err := use(t).tool()
	if err != nil {
		t.Fatalf("build the test tool: %v", err)
	}
	return b
}

// buildTool compiles the tool, or takes it from the cache of an earlier run.
func buildTool() ([]byte, error) {
	sum := sha256.Sum256(append([]byte(runtime.Version()+runtime.GOARCH), toolSource...))
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "reconcile-podmantest")
	final := filepath.Join(dir, "tool-"+hex.EncodeToString(sum[:8]))
	if b, err := os.ReadFile(final); err == nil {
		return b, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	err = errors.Join(
		os.WriteFile(filepath.Join(work, "main.go"), toolSource, 0o644),
		os.WriteFile(filepath.Join(work, "go.mod"), []byte("module example.org/tool\n\ngo 1.26\n"), 0o644),
	)
	if err != nil {
		return nil, err
	}
	built := filepath.Join(work, "tool")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", built, ".")
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	b, err := os.ReadFile(built)
	if err != nil {
		return nil, err
	}
	return b, os.Rename(built, final)
}
