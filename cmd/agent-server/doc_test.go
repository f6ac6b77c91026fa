// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"testing"
)

// The example of docs/mcp-config.md can be copied as it is.
func TestDocumentedToolsLoad(t *testing.T) {
	doc, err := os.ReadFile("../../docs/mcp-config.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(blocks) == 0 {
		t.Fatal("docs/mcp-config.md has no example")
	}
	for _, b := range blocks {
		tools, problems := loadTools(writeFile(t, t.TempDir()+"/"+toolsFile, string(b[1]), 0o644))
		if len(tools) == 0 || len(problems) > 0 {
			t.Errorf("%d tools, problems %q in\n%s", len(tools), problems, b[1])
		}
	}
}
