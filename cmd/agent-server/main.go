// SPDX-License-Identifier: Apache-2.0

// Agent-server is the static helper that reconcile mounts at /Agent in the
// containers of agents.
//
//	agent-server init [--liveness JSON] [--readiness JSON] [--beside N ARG…] -- [MAIN…]
//	agent-server init --task JSON -- COMMAND ARG…
//	agent-server serve
//	agent-server hook JSON
//	agent-server session NAME -- COMMAND ARG…
//	agent-server leash NAME
//	agent-server relay PORT
//
// Init is PID 1: it starts the main process, reaps orphans, passes signals on
// and ends with the main process's status. Without MAIN it keeps `serve`
// running, the default supervisor: HTTP on $PORT with /mcp/status, /health and
// MCP at /mcp, whose tools are described by /code/mcp-config.json. Probes are
// scripts that init runs again and again; it reports what they say to reconcile.
//
// With --task, init runs a command once, in the folder the container has it start
// in and with nothing to read. A command that takes longer than the task's timeout
// gets SIGTERM, with all that it has started, and SIGKILL 10 s later; the status is
// 124 then, and otherwise the command's own: 126 or 127 when it cannot be started.
// A signal is passed on; whoever does not end 8 s after SIGTERM, SIGINT or SIGQUIT
// is killed. The end is written to /run/reconcile-task/outcome.json, as
// {"code","timeout","finished"}, by a rename. With a keep-alive, the container and
// what the command left in it stay that long from the end on, or until SIGTERM,
// SIGINT or SIGQUIT.
//
// Hook runs the commands of a lifecycle hook, and ends everything they started.
// Session becomes a command that somebody runs from outside, and leash ends what
// that started when whoever looked on is gone. Relay passes connections of its
// network on to reconcile, where containers cannot reach the host.
//
// It needs nothing of the image: no shell, no /tmp, no /etc/passwd.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"reconcile/helper"
)

// Exit statuses. Those of init are the main process's own.
const (
	exitUsage       = 2
	exitCannotRun   = 126
	exitNotFound    = 127
	exitSignal      = 128 // plus the signal's number
	defaultCodePath = "/code"
)

const usage = `usage: agent-server init [--liveness JSON] [--readiness JSON] [--beside N ARG…] -- [MAIN…]
       agent-server init --task JSON -- COMMAND ARG…
       agent-server serve
       agent-server hook JSON
       agent-server session NAME -- COMMAND ARG…
       agent-server leash NAME
       agent-server relay PORT
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	logger := newLogger(stderr)
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	switch args[0] {
	case "init":
		c, err := helper.ParseArgs(args)
		if err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n%s", err, usage)
			return exitUsage
		}
		return runInit(c, logger, stderr)
	case "hook":
		h, err := helper.ParseHook(args)
		if err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n%s", err, usage)
			return exitUsage
		}
		return runHook(h, stdout)
	case "session":
		s, err := helper.ParseSession(args)
		if err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n%s", err, usage)
			return exitUsage
		}
		return runSession(s, stderr)
	case "leash":
		name, err := helper.ParseLeash(args)
		if err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n%s", err, usage)
			return exitUsage
		}
		holdOn()
		return runLeash(name, os.Stdin, stderr)
	case "relay":
		port, err := helper.ParseRelay(args)
		if err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n%s", err, usage)
			return exitUsage
		}
		if err := runRelay(port, helper.RelaySocket); err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n", err)
			return 1
		}
		return 0
	case "serve":
		if len(args) > 1 {
			break
		}
		if err := serve(logger); err != nil {
			fmt.Fprintf(stderr, "agent-server: %v\n", err)
			return exitStatus(err)
		}
		return 0
	}
	fmt.Fprint(stderr, usage)
	return exitUsage
}

// newLogger writes lines that can be told from the agent's own output. The
// runtime that collects them adds the time.
func newLogger(w io.Writer) *slog.Logger {
	h := slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})
	return slog.New(h).With("from", "agent-server")
}

// codePath is the folder in which everything of the agent starts.
func codePath() string {
	if p := os.Getenv("CODE_PATH"); p != "" {
		return p
	}
	return defaultCodePath
}
