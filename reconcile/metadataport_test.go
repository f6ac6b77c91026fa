// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/reconcile"
)

func TestMetadataPort(t *testing.T) {
	dir := t.TempDir()
	open := func(readOnly bool) *reconcile.Store {
		t.Helper()
		s, err := reconcile.OpenStore(dir, readOnly)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	none := func() uint16 { return 0 }
	for _, step := range []struct {
		choose func() uint16
		want   uint16
	}{
		{none, 0},
		{func() uint16 { return 20001 }, 20001},
		{func() uint16 { return 20002 }, 20001},
		{none, 20001},
	} {
		if got, err := open(false).MetadataPort(step.choose); got != step.want || err != nil {
			t.Errorf("got %d, %v; want %d", got, err, step.want)
		}
	}
	if got, err := open(true).MetadataPort(none); got != 20001 || err != nil {
		t.Errorf("read only: %d, %v", got, err)
	}
	file := filepath.Join(dir, "data", "metadata-port")
	for _, bad := range []string{"", "0\n", "x\n", "65536\n", strings.Repeat("1", 100)} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := open(false).MetadataPort(func() uint16 { return 1 })
		if err == nil || !strings.Contains(err.Error(), "metadata-port") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := open(true).MetadataPort(func() uint16 { return 1 }); err == nil {
		t.Error("a store that is read chooses a port")
	}
}
