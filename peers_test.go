// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Every failure of docs/peers.md has tests, and those that it names exist.
func TestPeersAreTested(t *testing.T) {
	data, err := os.ReadFile("docs/peers.md")
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(f.data, -1) {
				functions[m[1]] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "-") || cells[1] == " failure " {
			continue
		}
		rows++
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("docs/peers.md: %q has no test", cells[1])
		}
		for _, m := range names {
			_, err := os.Stat(path.Join("testdata/script", m[1]))
			if script := path.Ext(m[1]) == ".txtar"; script && err != nil || !script && !functions[m[1]] {
				t.Errorf("docs/peers.md: there is no test %s", m[1])
			}
		}
	}
	if rows < 10 {
		t.Errorf("docs/peers.md: only %d rows were found", rows)
	}
}
