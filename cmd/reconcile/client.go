// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/reconcile/plan"
)

// clientFlags say where the router of agents is.
type clientFlags struct {
	router    string
	tokenFile string
}

func (f *clientFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.router, "router", "", "`URL` of the daemon's listener (default: asked of the daemon that runs the workspace)")
	fs.StringVar(&f.tokenFile, "router-token-file", "", "`file` with the token that the listener asks for")
}

func newClientCommand(a *app) *cobra.Command {
	f := &clientFlags{}
	cmd := parentCommand("client", "Use agents through the daemon's router", `Talks to agents through the router of the daemon that runs the workspace, or of
the one at --router. The exit code is 1 when the agent is not ready, cannot be
reached, or says that what was asked failed.

JSON is an argument, or - for the standard input. Results go to stdout.`)
	f.add(cmd.PersistentFlags())
	cmd.AddCommand(a.takeNames(1, newClientStatusCommand(a, f), newClientTaskCommand(a, f))...)
	cmd.AddCommand(newClientListCommand(a, f), newClientToolCommand(a, f))
	return cmd
}

// parentCommand is a command that does nothing without another one.
func parentCommand(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("; did you mean %q?", near[0])
			}
			return fmt.Errorf("%q is no command of %s%s", args[0], cmd.CommandPath(), hint)
		},
	}
}

func newClientStatusCommand(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "status NAME",
		Short:   "Print what an agent says of itself at /mcp/status",
		Example: `  reconcile client status explorer`,
		Args:    oneArg("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.startClient(cmd.Context(), f, nil)
			if err != nil {
				return err
			}
			name := instanceName(args[0])
			got, err := c.get(cmd.Context(), name, "/status")
			if err != nil {
				return err
			}
			return a.printReply(name, got)
		},
	}
}

func newClientTaskCommand(a *app, f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "task NAME [JSON]",
		Short: "Give an agent a task",
		Long: `Sends JSON, {} by default, to /mcp/process of the agent, as a POST, and prints
what it answers. An agent that has no such path, as one that runs the default
supervisor, gets it as the arguments of its MCP tool "process", or "task".`,
		Example: `  reconcile client task explorer '{"q": 1}'
  jq -n '{q: 1}' | reconcile client task explorer -`,
		Args: between(1, 2, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, input, err := a.startClient(cmd.Context(), f, args[1:])
			if err != nil {
				return err
			}
			return a.giveTask(cmd.Context(), c, instanceName(args[0]), input)
		},
	}
}

func newClientListCommand(a *app, f *clientFlags) *cobra.Command {
	list := parentCommand("list", "List what agents offer", "Lists what agents offer.")
	list.AddCommand(a.takeNames(1, &cobra.Command{
		Use:   "tools [NAME]",
		Short: "List the MCP tools of an agent, or of all",
		Long: `Lists the MCP tools of an agent, or of all. Agents that do not speak MCP are left
out of the list of all; the exit code is 1 when one could not be asked.`,
		Example: `  reconcile client list tools
  reconcile client list tools explorer -o json`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.startClient(cmd.Context(), f, nil)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return a.listTools(cmd.Context(), c, instanceName(args[0]))
			}
			return a.listAllTools(cmd.Context(), c)
		},
	})...)
	return list
}

func newClientToolCommand(a *app, f *clientFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tool NAME TOOL [JSON]",
		Short: "Call an MCP tool of an agent",
		Long: `Calls an MCP tool of an agent with JSON, an object, {} by default, as its arguments,
and prints the text of the result; -o json prints all of it.`,
		Example: `  reconcile client tool explorer count '{"text": "a b"}'`,
		Args:    between(2, 3, "NAME and TOOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, input, err := a.startClient(cmd.Context(), f, args[2:])
			if err != nil {
				return err
			}
			return a.callTool(cmd.Context(), c, instanceName(args[0]), args[1], input)
		},
		ValidArgsFunction: a.completing(1, source.instanceNames),
	}
	rewriteArgs(cmd, func(args []string) []string {
		return afterAgent(args, func(rest []string) bool { return len(rest) > 1 && !isDocument(rest[1]) })
	})
	return cmd
}

// between demands the arguments that usage calls what, and takes a few more.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return fmt.Errorf("%s needs %s", cmd.Name(), what)
		}
		return atMost(most)(cmd, args)
	}
}

// instanceName is the instance that a NAME means. Only those of one kind are
// routed to.
func instanceName(text string) string {
	kind, name, ok := strings.Cut(text, "/")
	if ok && (strings.EqualFold(kind, string(plan.Manifest)) || strings.EqualFold(kind, "agent")) {
		return name
	}
	return text
}

// startClient begins a client command: it checks how to print, reads the JSON that
// the command was given, {} for none, and finds the router.
func (a *app) startClient(ctx context.Context, f *clientFlags, document []string) (*routerClient, json.RawMessage, error) {
	if err := a.check(formatText, formatJSON); err != nil {
		return nil, nil, err
	}
	input, err := a.inputJSON(document)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.dialRouter(ctx, f)
	return c, input, err
}

// maxInput bounds JSON from the standard input, in bytes.
const maxInput = 64 << 20

// inputJSON is the JSON that a command was given.
func (a *app) inputJSON(args []string) (json.RawMessage, error) {
	if len(args) == 0 {
		return json.RawMessage("{}"), nil
	}
	text := []byte(args[0])
	if args[0] == "-" {
		var err error
		if text, err = io.ReadAll(io.LimitReader(a.std.in, maxInput+1)); err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		if len(text) > maxInput {
			return nil, fmt.Errorf("standard input is larger than %d bytes", maxInput)
		}
	}
	text = bytes.TrimSpace(text)
	var any json.RawMessage
	if err := json.Unmarshal(text, &any); err != nil {
		return nil, fmt.Errorf("the argument is no JSON: %w", err)
	}
	return text, nil
}

// printReply prints what an agent answered over HTTP. An answer that is no success
// is none of the command either.
func (a *app) printReply(name string, r reply) error {
	if a.output == formatJSON {
		body := any(string(r.body))
		if json.Valid(r.body) {
			body = json.RawMessage(r.body)
		}
		err := a.printJSON(map[string]any{"format_version": plan.FormatVersion, "instance": name, "code": r.code, "body": body})
		return errors.Join(err, exitWith(r.exit()))
	}
	if err := a.printText(r.body); err != nil {
		return err
	}
	if r.exit() != plan.ExitDone {
		return fmt.Errorf("%s answered %s", name, r.status)
	}
	return nil
}

// printText prints what an agent gave: JSON so that it can be read, anything else
// as it is, unless that could confuse a terminal.
func (a *app) printText(b []byte) error {
	var doc bytes.Buffer
	text := string(b)
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return nil
	case json.Indent(&doc, bytes.TrimSpace(b), "", "  ") == nil:
		text = escapeJSON(doc.String())
	case isTerminal(a.std.out):
		text = escapeLines(text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(a.std.out, text)
	return err
}
