// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"reconcile/reconcile/plan"
)

// mcpSession is a session with one instance.
type mcpSession struct {
	*mcp.ClientSession
	talk *conversation
	name string
}

// errNoMCP says that nothing at /mcp of the agent answers as MCP asks.
var errNoMCP = errors.New("it does not speak MCP")

// openMCP begins a session.
func (c *routerClient) openMCP(ctx context.Context, name string) (*mcpSession, error) {
	talk := &conversation{client: c}
	client := mcp.NewClient(&mcp.Implementation{Name: "reconcile", Version: version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: c.url(name, "/mcp"), HTTPClient: talk.http(), DisableStandaloneSSE: true, MaxRetries: -1,
	}, nil)
	switch {
	case err == nil:
		return &mcpSession{session, talk, name}, nil
	case talk.noMCP():
		return nil, fmt.Errorf("%s: %w", name, errNoMCP)
	}
	return nil, talk.explain(name, err)
}

// tools lists the tools by name.
func (s *mcpSession) tools(ctx context.Context) ([]*mcp.Tool, error) {
	out := []*mcp.Tool{}
	for t, err := range s.Tools(ctx, nil) {
		if err != nil {
			return nil, s.talk.explain(s.name+": list tools", err)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *mcp.Tool) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// instanceTools are the tools of one instance. Field names are part of the JSON
// output.
type instanceTools struct {
	Name  string      `json:"name"`
	Ready bool        `json:"ready"`
	Tools []*mcp.Tool `json:"tools"` // null where they are not known
	Error string      `json:"error,omitempty"`
}

func (c *routerClient) toolsOf(ctx context.Context, name string) ([]*mcp.Tool, error) {
	s, err := c.openMCP(ctx, name)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.tools(ctx)
}

func (c *routerClient) toolNames(ctx context.Context, name string) ([]string, error) {
	tools, err := c.toolsOf(ctx, name)
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	return names, err
}

func itsTools(names []string) string {
	if len(names) == 0 {
		return "it has none"
	}
	return "it has " + strings.Join(names, ", ")
}

func (a *app) listTools(ctx context.Context, c *routerClient, name string) error {
	tools, err := c.toolsOf(ctx, name)
	if err != nil {
		return err
	}
	return a.printTools([]instanceTools{{Name: name, Ready: true, Tools: tools}})
}

// listAllTools asks every instance. One that cannot be asked keeps the others from
// nothing.
func (a *app) listAllTools(ctx context.Context, c *routerClient) error {
	list, err := c.instances(ctx)
	if err != nil {
		return err
	}
	all, code := []instanceTools{}, plan.ExitDone
	for _, i := range list {
		one := instanceTools{Name: i.Name, Ready: i.Ready}
		var err error
		if one.Tools, err = c.toolsOf(ctx, i.Name); err != nil {
			one.Error = err.Error()
		}
		if err != nil && !errors.Is(err, errNoMCP) {
			code = plan.ExitFault
			fmt.Fprintln(a.std.err, "error: "+escapeLines(err.Error()))
		}
		all = append(all, one)
	}
	return errors.Join(a.printTools(all), exitWith(code))
}

func (a *app) printTools(all []instanceTools) error {
	if a.output == formatJSON {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "instances": all})
	}
	var rows [][]string
	for _, i := range all {
		for _, t := range i.Tools {
			rows = append(rows, []string{escape(i.Name), escape(t.Name), escape(headline(t.Description))})
		}
	}
	if len(rows) == 0 {
		fmt.Fprintln(a.std.out, "there are no tools")
		return nil
	}
	table(a.std.out, []string{"NAME", "TOOL", "DESCRIPTION"}, rows, nil)
	return nil
}

func headline(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// callTool calls one tool and prints what comes of it.
func (a *app) callTool(ctx context.Context, c *routerClient, name, tool string, input json.RawMessage) error {
	if !isObject(input) {
		return errors.New("the arguments of a tool are a JSON object")
	}
	s, err := c.openMCP(ctx, name)
	if err != nil {
		return err
	}
	defer s.Close()
	return a.callIn(ctx, s, tool, input)
}

func (a *app) callIn(ctx context.Context, s *mcpSession, tool string, input json.RawMessage) error {
	res, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: input})
	if err != nil {
		if names, listErr := s.talk.client.toolNames(ctx, s.name); listErr == nil && !slices.Contains(names, tool) {
			return fmt.Errorf("%s has no tool %q; %s", s.name, tool, itsTools(names))
		}
		return s.talk.explain(fmt.Sprintf("%s: tool %s", s.name, tool), err)
	}
	code := plan.ExitDone
	if res.IsError {
		code = plan.ExitFault
	}
	if a.output == formatJSON {
		err := a.printJSON(map[string]any{"format_version": plan.FormatVersion, "instance": s.name, "tool": tool, "result": res})
		return errors.Join(err, exitWith(code))
	}
	text, err := toolText(res)
	if err != nil {
		return err
	}
	if res.IsError {
		return fmt.Errorf("%s: tool %s failed: %s", s.name, tool, strings.TrimSpace(string(text)))
	}
	return a.printText(text)
}

// toolText is the text of a result, with a word for what is none.
func toolText(res *mcp.CallToolResult) ([]byte, error) {
	var parts []string
	for _, c := range res.Content {
		switch c := c.(type) {
		case *mcp.TextContent:
			parts = append(parts, c.Text)
		case *mcp.ImageContent:
			parts = append(parts, fmt.Sprintf("[%s, %d bytes; -o json has it]", c.MIMEType, len(c.Data)))
		case *mcp.AudioContent:
			parts = append(parts, fmt.Sprintf("[%s, %d bytes; -o json has it]", c.MIMEType, len(c.Data)))
		default:
			parts = append(parts, "[something that is no text; -o json has it]")
		}
	}
	if len(parts) == 0 && res.StructuredContent != nil {
		return json.Marshal(res.StructuredContent)
	}
	return []byte(strings.Join(parts, "\n")), nil
}

func isObject(doc json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) }

// taskTools are tools that take what has no path at an agent.
var taskTools = []string{"process", "task"}

// giveTask has an agent process input: at its path for that, or with its tool.
func (a *app) giveTask(ctx context.Context, c *routerClient, name string, input json.RawMessage) error {
	got, err := c.post(ctx, name, "/process", input)
	if err != nil {
		return err
	}
	if !noSuch(got.code) {
		return a.printReply(name, got)
	}
	s, err := c.openMCP(ctx, name)
	if errors.Is(err, errNoMCP) {
		return fmt.Errorf("%s takes no tasks: POST /mcp/process was answered %s, and it does not speak MCP", name, got.status)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	tools, err := s.tools(ctx)
	if err != nil {
		return err
	}
	names := []string{}
	for _, t := range tools {
		names = append(names, t.Name)
	}
	for _, tool := range taskTools {
		if !slices.Contains(names, tool) {
			continue
		}
		if !isObject(input) {
			return fmt.Errorf("the tool %s of %s takes a JSON object", tool, name)
		}
		return a.callIn(ctx, s, tool, input)
	}
	text := fmt.Sprintf("%s takes no tasks: it has neither a path /mcp/process nor a tool %s", name, strings.Join(taskTools, " or "))
	if len(names) > 0 {
		text += "; reconcile client tool calls what it has: " + strings.Join(names, ", ")
	}
	return errors.New(text)
}
