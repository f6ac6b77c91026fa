// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// serving starts the supervisor over a folder with the given mcp-config.json
// ("" = none) and returns its URL and that folder.
func serving(t *testing.T, config string) (url, code string) {
	t.Helper()
	code = t.TempDir()
	if config != "" {
		writeFile(t, filepath.Join(code, toolsFile), config, 0o644)
	}
	cmd := exec.Command(binary, "serve")
	cmd.Env = append(os.Environ(), "PORT=0", "CODE_PATH="+code, "AGENT_NAME=explorer", "AGENT_ALIAS=explorer.two")
	cmd.Dir = t.TempDir()
	return listening(launch(t, cmd)), code
}

type status struct {
	OK                   bool
	Status, Agent, Alias string
	Uptime               float64
	Tools                int
	Errors               []string
}

func getStatus(t *testing.T, url string) status {
	t.Helper()
	res, err := http.Get(url + "/mcp/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("GET /mcp/status: %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	var s status
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Uptime < 0 || s.Uptime > patience.Seconds() {
		t.Errorf("uptime %v s", s.Uptime)
	}
	s.Uptime = 0
	return s
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		want         status
	}{
		{"no tools", "", status{OK: true}},
		{"empty", "{}", status{OK: true}},
		{"one tool", `{"tools":[{"name":"a","command":"true"}],"resources":[]}`, status{OK: true, Tools: 1}},
		{"broken", `{"tools":`, status{Errors: []string{"mcp-config.json: unexpected end of JSON input"}}},
		{"wrong type", `{"tools":{}}`, status{Errors: []string{"mcp-config.json: json: cannot unmarshal object into Go struct field .tools of type []json.RawMessage"}}},
		{"too large", strings.Repeat(" ", maxToolsFile+1), status{Errors: []string{"mcp-config.json: larger than 1048576 bytes"}}},
		{
			"good and bad tools",
			`{"tools":[
				{"name":"good","command":["true"]}, {"name":"a b","command":"true"}, {"name":"none"}, {"name":"good","command":"true"},
				{"name":"s","command":"true","inputSchema":[]}, {"name":"t","command":"true","inputSchema":{"x":{"type":"strnig"}}},
				{"name":"c","command":3}, {"name":"p","command":"true","inputSchema":{"type":"object","properties":{"x":{"type":7}}}},
				{"name":"n","command":"true","timeout":-1},
				{"name":"h","command":"true","inputSchema":{"type":"object","properties":{"x":{"type":"string","x-mcp-header":"a b"}}}}]}`,
			status{Tools: 1, Errors: []string{
				`mcp-config.json: tools[1]: name "a b": letters, digits, _ - and . are allowed, 1 to 128 of them`,
				`mcp-config.json: tools[2]: command is missing`,
				`mcp-config.json: tools[3]: a second tool "good"`,
				`mcp-config.json: tools[4]: inputSchema: not an object`,
				`mcp-config.json: tools[5]: inputSchema: "x": unknown type "strnig"`,
				`mcp-config.json: tools[6]: command: neither a string nor a list of strings`,
				`mcp-config.json: tools[7]: inputSchema: `,
				`mcp-config.json: tools[8]: timeout is negative`,
				`tool "h": `,
			}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := serving(t, tt.config)
			tt.want.Status, tt.want.Agent, tt.want.Alias = "running", "explorer", "explorer.two"
			got := getStatus(t, url)
			for i, e := range got.Errors { // what libraries say is theirs
				if i < len(tt.want.Errors) && strings.HasSuffix(tt.want.Errors[i], ": ") && strings.HasPrefix(e, tt.want.Errors[i]) {
					got.Errors[i] = tt.want.Errors[i]
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("status (-want +got)\n%s", diff)
			}
			if n := len(listTools(t, url)); n != tt.want.Tools {
				t.Errorf("%d tools are served, want %d", n, tt.want.Tools)
			}
			checkHealth(t, url)
		})
	}
}

func connect(t *testing.T, url string) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url + "/mcp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func listTools(t *testing.T, url string) []*mcp.Tool {
	t.Helper()
	res, err := connect(t, url).ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res.Tools
}

func call(t *testing.T, s *mcp.ClientSession, name string, arguments any) (text string, failed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		t.Fatalf("call %s: %v", name, err)
	}
	if len(res.Content) != 1 {
		t.Fatalf("call %s: %d contents, want 1", name, len(res.Content))
	}
	return res.Content[0].(*mcp.TextContent).Text, res.IsError
}

const toolsConfig = `{"tools": [
	{"name":"echo","title":"Echo","description":"says it","command":["/bin/sh","-c","cat; printf '%s' \"$TOOL_NAME $TOOL_INPUT $AGENT_NAME\""],
	 "inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false}},
	{"name":"short","command":"cat","inputSchema":{"n":{"type":"number","min":1},"who":{"type":"string","enum":["a","b"],"optional":true}}},
	{"name":"any","command":"cat"},
	{"name":"here","command":"pwd -P; ls"},
	{"name":"sub","command":["pwd"],"cwd":"sub"},
	{"name":"absolute","command":["pwd"],"cwd":"/"},
	{"name":"script","command":"tools/hello.sh a b","cwd":"sub","env":{"GREETING":"hi"}},
	{"name":"fails","command":["/bin/sh","-c","echo partial; echo reason >&2; exit 3"]},
	{"name":"killed","command":["/bin/sh","-c","kill -KILL $$"]},
	{"name":"missing","command":"no-such-program"},
	{"name":"slow","command":["/bin/sh","-c","sleep 1000 & echo $! >pid; echo waiting; wait"],"timeout":0.5},
	{"name":"background","command":["/bin/sh","-c","sleep 3 >/dev/null 2>&1 & echo done"]},
	{"name":"loud","command":["/bin/sh","-c","head -c 2000000 /dev/zero | tr '\\0' x"]},
	{"name":"binary","command":["/bin/sh","-c","printf 'a\\377b'"]},
	{"name":"deaf","command":["/bin/sh","-c","exec <&-; echo ok"]}
]}`

func TestTools(t *testing.T) {
	url, code := serving(t, toolsConfig)
	if err := os.MkdirAll(code+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(code+"/tools", 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, code+"/tools/hello.sh", "#!/bin/sh\necho $GREETING $*; pwd\n", 0o755)
	s := connect(t, url)
	big := strings.Repeat("x", 200_000)
	for _, tt := range []struct {
		name, tool string
		arguments  any
		want       string
		failed     bool
	}{
		{"input", "echo", map[string]any{"text": "a b"}, `{"text":"a b"}` + "\n" + `echo {"text":"a b"} explorer`, false},
		{"missing argument", "echo", map[string]any{}, `arguments: validating root: required: missing properties: ["text"]`, true},
		{"wrong type", "echo", map[string]any{"text": 3}, "arguments: validating root: ", true},
		{"unknown argument", "echo", map[string]any{"text": "", "x": 1}, "arguments: validating root: ", true},
		{"short form", "short", map[string]any{"n": 2}, `{"n":2}` + "\n", false},
		{"short form, too small", "short", map[string]any{"n": 0}, "arguments: validating root: ", true},
		{"short form, not in enum", "short", map[string]any{"n": 1, "who": "c"}, "arguments: validating root: ", true},
		{"no arguments", "any", nil, "{}\n", false},
		{"any arguments", "any", map[string]any{"deep": []any{1, nil, map[string]any{"": "ü"}}}, `{"deep":[1,null,{"":"ü"}]}` + "\n", false},
		{"a large number stays", "any", json.RawMessage(`{"n":12345678901234567890}`), `{"n":12345678901234567890}` + "\n", false},
		{"more than a variable holds", "any", map[string]any{"t": big}, `{"t":"` + big + `"}` + "\n", false},
		{"folder", "here", nil, code + "\nmcp-config.json\nsub\ntools\n", false},
		{"folder below", "sub", nil, code + "/sub\n", false},
		{"absolute folder", "absolute", nil, "/\n", false},
		{"script of the agent", "script", nil, "hi a b\n" + code + "/sub\n", false},
		{"failure", "fails", nil, "exit status 3\nreason\npartial", true},
		{"killed", "killed", nil, "signal: killed", true},
		{"not found", "missing", nil, `exec: "no-such-program": executable file not found in $PATH`, true},
		{"timeout", "slow", nil, "no result after 500ms\nwaiting", true},
		{"background process", "background", nil, "done\n", false},
		{"too much", "loud", nil, strings.Repeat("x", maxStdout) + "\n[951424 more bytes left out]", false},
		{"not UTF-8", "binary", nil, "a\uFFFDb", false},
		{"does not read", "deaf", map[string]any{"t": big}, "ok\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, failed := call(t, s, tt.tool, tt.arguments)
			if strings.HasSuffix(tt.want, ": ") && strings.HasPrefix(got, tt.want) {
				got = tt.want // the rest is the validator's
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || failed != tt.failed {
				t.Errorf("failed %t, want %t; text (-want +got)\n%.2000s", failed, tt.failed, diff)
			}
		})
	}

	t.Run("a timeout ends the whole group", func(t *testing.T) {
		pid, err := os.ReadFile(code + "/pid")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "sleep "+string(pid)+" is gone", func() bool {
			stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
	})
	t.Run("unknown tool", func(t *testing.T) {
		if _, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "nope"}); err == nil {
			t.Error("an unknown tool answered")
		}
	})
	t.Run("listing", func(t *testing.T) {
		res, err := s.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		schemas := map[string]any{}
		for _, tool := range res.Tools {
			schemas[tool.Name] = tool.InputSchema
			if tool.Name == "echo" && (tool.Title != "Echo" || tool.Description != "says it") {
				t.Errorf("echo: title %q, description %q", tool.Title, tool.Description)
			}
		}
		want := map[string]any{
			"type": "object", "required": []any{"n"},
			"properties": map[string]any{
				"n":   map[string]any{"type": "number", "minimum": 1.0},
				"who": map[string]any{"type": "string", "enum": []any{"a", "b"}},
			},
		}
		if diff := cmp.Diff(want, schemas["short"]); diff != "" {
			t.Errorf("schema of short (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(map[string]any{"type": "object"}, schemas["any"]); diff != "" {
			t.Errorf("schema of any (-want +got)\n%s", diff)
		}
	})
}

// An agent's folder may be edited in place: the tools follow.
func TestToolsFollowTheFile(t *testing.T) {
	url, code := serving(t, `{"tools":[{"name":"a","command":"true"}]}`)
	for _, tt := range []struct {
		config string
		want   []string
	}{
		{`{"tools":[{"name":"a","command":"true"},{"name":"b","command":"true"}]}`, []string{"a", "b"}},
		{`{"tools":[`, nil},
		{`{"tools":[{"name":"c","command":"true"}]}`, []string{"c"}},
	} {
		writeFile(t, filepath.Join(code, toolsFile), tt.config, 0o644)
		var got []string
		for _, tool := range listTools(t, url) {
			got = append(got, tool.Name)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: tools (-want +got)\n%s", tt.config, diff)
		}
	}
	if err := os.Remove(filepath.Join(code, toolsFile)); err != nil {
		t.Fatal(err)
	}
	if got := getStatus(t, url); !got.OK || got.Tools != 0 {
		t.Errorf("after removal: %+v, want no tools and no errors", got)
	}
}

// A plain POST is enough: no session, an answer in JSON.
func TestPlainPost(t *testing.T) {
	url, _ := serving(t, `{"tools":[{"name":"a","command":"echo hi"}]}`)
	req, err := http.NewRequest(http.MethodPost, url+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hi\n"}]}}`; string(body) != want {
		t.Errorf("%s\ngot  %s\nwant %s", res.Status, body, want)
	}
}

func TestUnknownPath(t *testing.T) {
	url, _ := serving(t, "")
	res, err := http.Get(url + "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %s", res.Status, res.Header.Get("Content-Type"))
	}
}

func TestWebPagesAreKeptOut(t *testing.T) {
	url, _ := serving(t, "")
	host := strings.TrimPrefix(url, "http://")
	for _, tt := range []struct {
		name, host, origin string
		want               int
	}{
		{"no page", host, "", http.StatusOK},
		{"no page, any name", "agents.example.org", "", http.StatusOK},
		{"own page", host, "http://" + host, http.StatusOK},
		{"own page by name", "explorer:7000", "http://explorer:7000", http.StatusOK},
		{"own page by a name with dots", "explorer.two:7000", "http://explorer.two:7000", http.StatusOK},
		{"foreign page", host, "http://evil.example", http.StatusForbidden},
		{"rebound name", "evil.example", "http://evil.example", http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The SDK itself refuses foreign names on loopback, so ask for the status.
			req, err := http.NewRequest(http.MethodPost, url+"/nowhere", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			want := tt.want
			if want == http.StatusOK {
				want = http.StatusNotFound // let through to the path that is not there
			}
			if res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
		})
	}
}

// Tools that run when the supervisor is told to stop do not outlive it.
func TestStopEndsTools(t *testing.T) {
	code := t.TempDir()
	writeFile(t, filepath.Join(code, toolsFile), `{"tools":[{"name":"long","command":["/bin/sh","-c","echo $$ >pid; sleep 1000"]}]}`, 0o644)
	cmd := exec.Command(binary, "serve")
	cmd.Env = append(os.Environ(), "PORT=0", "CODE_PATH="+code)
	c := launch(t, cmd)
	s := connect(t, listening(c))
	answered := make(chan error, 1)
	go func() {
		res, err := s.CallTool(context.Background(), &mcp.CallToolParams{Name: "long"})
		if err == nil && !res.IsError {
			err = fmt.Errorf("a stopped tool succeeded")
		} else {
			err = nil
		}
		answered <- err
	}()
	eventually(t, "the tool runs", func() bool {
		data, err := os.ReadFile(code + "/pid")
		return err == nil && len(data) > 0
	})
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := c.status(); got != 0 {
		t.Errorf("exit status %d, want 0", got)
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the call did not end")
	}
	pid, err := os.ReadFile(code + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tool is gone", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
		return err != nil
	})
}
