// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxToolsFile bounds mcp-config.json in bytes.
const maxToolsFile = 1 << 20

// toolbox is the MCP server over the tools of mcp-config.json, made anew when
// the file has changed.
type toolbox struct {
	path string
	log  *slog.Logger
	ctx  context.Context // ends when the supervisor does: running tools are killed

	mu     sync.Mutex
	seen   fileState
	server *mcp.Server
	report report
}

// report says what became of mcp-config.json.
type report struct {
	tools    int
	problems []string
}

// fileState is compared to see whether a file has changed.
type fileState struct {
	known bool
	size  int64
	mtime time.Time
	err   string
}

// current returns the server for the file as it is now.
func (b *toolbox) current() (*mcp.Server, report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := stat(b.path)
	if b.server != nil && state == b.seen {
		return b.server, b.report
	}
	b.seen = state
	b.server = mcp.NewServer(&mcp.Implementation{Name: "agent-server", Version: version()}, &mcp.ServerOptions{
		Logger:       b.log,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
	})
	tools, problems := loadTools(b.path)
	runner := &runner{ctx: b.ctx, slots: make(chan struct{}, maxRunning)}
	b.report = report{problems: problems}
	for _, t := range tools {
		if err := register(b.server, t, runner); err != nil {
			b.report.problems = append(b.report.problems, fmt.Sprintf("tool %q: %v", t.Name, err))
			continue
		}
		b.report.tools++
	}
	for _, p := range b.report.problems {
		b.log.Error("tool cannot be used", "file", b.path, "err", p)
	}
	b.log.Info("tools loaded", "file", b.path, "tools", b.report.tools)
	return b.server, b.report
}

func stat(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{known: true, err: err.Error()}
	}
	return fileState{known: true, size: info.Size(), mtime: info.ModTime()}
}

// register adds t to server. The SDK panics on what it cannot serve, which is
// the user's mistake here and no reason to end.
func register(server *mcp.Server, t tool, r *runner) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	server.AddTool(&mcp.Tool{Name: t.Name, Title: t.Title, Description: t.Description, InputSchema: t.schema},
		func(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			input, err := t.check(req.Params.Arguments)
			if err != nil {
				return toolError(err.Error()), nil
			}
			return r.run(ctx, t, input), nil
		})
	return nil
}

// tool is one entry of mcp-config.json.
type tool struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Command     command           `json:"command"`
	Cwd         string            `json:"cwd"` // "" = the agent's folder, "workspace" = /workspace, else relative to the agent's folder
	Env         map[string]string `json:"env"`
	Timeout     float64           `json:"timeout"` // seconds; 0 = defaultTimeout
	InputSchema json.RawMessage   `json:"inputSchema"`
	Input       json.RawMessage   `json:"input"` // another name of inputSchema

	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

// command is a list of arguments, or one string that is split at blanks.
// A string with characters that mean something to a shell is a shell's.
type command []string

func (c *command) UnmarshalJSON(data []byte) error {
	var list []string
	if err := json.Unmarshal(data, &list); err == nil {
		*c = list
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("command: neither a string nor a list of strings")
	}
	if needsShell(text) {
		*c = command{"/bin/sh", "-c", text}
		return nil
	}
	*c = strings.Fields(text)
	return nil
}

func needsShell(text string) bool {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	return strings.ContainsAny(text, "|&;<>()$`\\\"'*?[]#~\n") || strings.Contains(first, "=")
}

var toolName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// loadTools returns the usable tools of the file and what is wrong with the
// others. A missing file has no tools.
func loadTools(path string) (tools []tool, problems []string) {
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, []string{err.Error()}
	}
	var file struct {
		Tools []json.RawMessage `json:"tools"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, []string{fmt.Sprintf("%s: %v", toolsFile, err)}
	}
	names := map[string]bool{}
	for i, raw := range file.Tools {
		t, err := decodeTool(raw)
		if err == nil && names[t.Name] {
			err = fmt.Errorf("a second tool %q", t.Name)
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: tools[%d]: %v", toolsFile, i, err))
			continue
		}
		names[t.Name] = true
		tools = append(tools, t)
	}
	return tools, problems
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToolsFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxToolsFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", toolsFile, maxToolsFile)
	}
	return data, nil
}

func decodeTool(raw json.RawMessage) (tool, error) {
	var t tool
	if err := json.Unmarshal(raw, &t); err != nil {
		return tool{}, err
	}
	if !toolName.MatchString(t.Name) {
		return tool{}, fmt.Errorf("name %q: letters, digits, _ - and . are allowed, 1 to 128 of them", t.Name)
	}
	if len(t.Command) == 0 || t.Command[0] == "" {
		return tool{}, errors.New("command is missing")
	}
	if t.Timeout < 0 {
		return tool{}, errors.New("timeout is negative")
	}
	if len(t.InputSchema) == 0 {
		t.InputSchema = t.Input
	}
	schema, err := parseSchema(t.InputSchema)
	if err != nil {
		return tool{}, fmt.Errorf("inputSchema: %w", err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return tool{}, fmt.Errorf("inputSchema: %w", err)
	}
	t.schema, t.resolved = schema, resolved
	return t, nil
}

// check returns the arguments of a call as the command gets them.
func (t *tool) check(arguments json.RawMessage) (json.RawMessage, error) {
	if len(arguments) == 0 || string(arguments) == "null" {
		arguments = json.RawMessage("{}")
	}
	var input map[string]any
	if err := json.Unmarshal(arguments, &input); err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	if err := t.resolved.Validate(input); err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	return arguments, nil
}

// version is the one of the module that built us.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
