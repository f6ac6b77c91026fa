// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every direct dependency is explained: what for, why this one, what it costs.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`(?m)^(?:require )?\t?([a-z0-9.]+\.[a-z]+/\S+) v\S+$`)
	found := direct.FindAllStringSubmatch(string(mod), -1)
	if len(found) == 0 {
		t.Fatal("go.mod: no direct dependencies found")
	}
	inMod := map[string]bool{}
	for _, m := range found {
		inMod[m[1]] = true
		if !strings.Contains(string(doc), "`"+m[1]+"`") {
			t.Errorf("docs/dependencies.md: `%s` is not explained: each direct dependency says what it is for and what it costs", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		tool := regexp.MustCompile(`(?m)^\t` + regexp.QuoteMeta(m[1]) + `(/\S*)?$`).Match(mod)
		if !inMod[m[1]] && !tool {
			t.Errorf("docs/dependencies.md: `%s` is explained, but go.mod does not need it", m[1])
		}
	}
}

var decisionName = regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`)

func TestDecisions(t *testing.T) {
	entries, err := os.ReadDir("docs/decisions")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Error("docs/decisions is empty")
	}
	numbers := map[string]string{}
	for _, e := range entries {
		if !decisionName.MatchString(e.Name()) {
			t.Errorf("docs/decisions/%s: decisions are named NNNN-slug.md", e.Name())
			continue
		}
		if other := numbers[e.Name()[:4]]; other != "" {
			t.Errorf("docs/decisions: %s and %s have one number", other, e.Name())
		}
		numbers[e.Name()[:4]] = e.Name()
		data, err := os.ReadFile(path.Join("docs/decisions", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, heading := range []string{"Context", "Decision", "Consequences", "Alternatives"} {
			if !strings.Contains(string(data), "\n## "+heading+"\n") {
				t.Errorf("docs/decisions/%s: the section %q is missing", e.Name(), heading)
			}
		}
		if n := strings.Count(string(data), "\n"); n > 60 {
			t.Errorf("docs/decisions/%s: %d lines; a decision is one page", e.Name(), n)
		}
	}
}

var mdLink = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

// Links between documents lead somewhere.
func TestLinks(t *testing.T) {
	for _, f := range files(t) {
		if path.Ext(f.path) != ".md" || f.fixture {
			continue
		}
		for _, m := range mdLink.FindAllStringSubmatch(f.data, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(f.path), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", f.path, m[1])
			}
		}
	}
}

// The documents name the packages that exist.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	data, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, f := range sources(t) {
		dir := path.Dir(f.path)
		if dir != "." && !f.test && !f.fixture && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if !strings.Contains(string(data), "`"+dir+"/`") {
			t.Errorf("docs/architecture.md does not mention `%s/`", dir)
		}
	}
}
