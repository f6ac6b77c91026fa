// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"net/url"
	"testing"
)

func TestSplit(t *testing.T) {
	for path, want := range map[string][2]string{
		"/mcps":                   {"", "/mcp"},
		"/mcps/":                  {"", "/mcp"},
		"/mcps/web":               {"web", "/mcp"},
		"/mcps/web/":              {"web", "/mcp/"},
		"/mcps/web/mcp":           {"web", "/mcp"},
		"/mcps/web/mcp/":          {"web", "/mcp/mcp/"},
		"/mcps/web/status":        {"web", "/mcp/status"},
		"/mcps/web/a//b/":         {"web", "/mcp/a//b/"},
		"/mcps/web.v2_x/status":   {"web.v2_x", "/mcp/status"},
		"/mcps/w%65b/status":      {"web", "/mcp/status"},
		"/mcps/web%2Fx/status":    {"web/x", "/mcp/status"},
		"/mcps/web/a%2Fb%20c":     {"web", "/mcp/a%2Fb%20c"},
		"/mcps/web/%C3%A4":        {"web", "/mcp/%C3%A4"},
		"/mcps/web/a%3Fb":         {"web", "/mcp/a%3Fb"},
		"/mcps/web/...":           {"web", "/mcp/..."},
		"/mcps/web/.hidden":       {"web", "/mcp/.hidden"},
		"/mcps/web/../health":     {"web", ""},
		"/mcps/web/..":            {"web", ""},
		"/mcps/web/./x":           {"web", ""},
		"/mcps/web/%2e%2e/health": {"web", ""},
		"/mcps/web/a%2F..%2Fb":    {"web", ""},
		"/mcps/web/%252e%252e/x":  {"web", ""},
		`/mcps/web/..%5Chealth`:   {"web", ""},
	} {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if !Handles(u) {
			t.Errorf("%s is not handled", path)
		}
		name, got, err := split(u)
		if name != want[0] || got != want[1] || (err != nil) != (want[1] == "") {
			t.Errorf("split(%s) = %q, %q, %v; want %q", path, name, got, err, want)
		}
	}
	for _, path := range []string{"/", "/mcpsx", "/mcp/web", "/metrics", "*", ""} {
		if Handles(&url.URL{Path: path}) {
			t.Errorf("%q is handled", path)
		}
	}
}

func TestRelocate(t *testing.T) {
	for location, want := range map[string]string{
		"/mcp":                            "/mcps/my.web/mcp",
		"/mcp/":                           "/mcps/my.web/",
		"/mcp/a%2Fb?x=1&y#z":              "/mcps/my.web/a%2Fb?x=1&y#z",
		"http://10.1.2.3:7000/mcp/x":      "/mcps/my.web/x",
		"http://elsewhere.example/mcp/x":  "http://elsewhere.example/mcp/x",
		"//elsewhere.example/mcp/x":       "//elsewhere.example/mcp/x",
		"/login":                          "/login",
		"x/y":                             "x/y",
		"http://10.1.2.3:7000/mcpx":       "http://10.1.2.3:7000/mcpx",
		"http://10.1.2.3:70 00/not a url": "http://10.1.2.3:70 00/not a url",
	} {
		if got := relocate(location, "10.1.2.3:7000", "my.web"); got != want {
			t.Errorf("relocate(%s) = %s, want %s", location, got, want)
		}
	}
}
