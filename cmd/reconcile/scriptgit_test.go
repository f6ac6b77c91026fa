// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"reconcile/repos/repostest"
)

// gitCmd runs the real git client, which reads no configuration and commits
// with a fixed author and date: [!] git ARGS…
func gitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: [!] git args...")
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(repostest.Env(), "GIT_SSH_COMMAND="+ts.Getenv("GIT_SSH_COMMAND"))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	fmt.Fprint(ts.Stdout(), stdout.String())
	fmt.Fprint(ts.Stderr(), stderr.String())
	if (err != nil) != neg {
		ts.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
}

// gitserverCmd starts a smart-HTTP git server and makes empty repositories on
// it. $GITSERVER is its URL, and $GITROOT the folder of the repositories, where
// they can be pushed to. What it does wrong can be switched, and what it was
// asked is printed and forgotten:
//
//	gitserver NAME…
//	gitserver -login USER:PASSWORD NAME…
//	gitserver break stall|STATUS|html|truncate
//	gitserver mend
//	gitserver requests
func gitserverCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: gitserver [-login user:password] name..., or: gitserver break fault|mend|requests")
	}
	if s.git == nil {
		var o repostest.HTTPOptions
		if args[0] == "-login" {
			o.User, o.Password, _ = strings.Cut(args[1], ":")
			args = args[2:]
		}
		s.git = repostest.HTTP(s.t, o)
		ts.Setenv("GITSERVER", s.git.URL)
		ts.Setenv("GITROOT", s.git.Root)
		for _, name := range args {
			s.git.Repo(s.t, name)
		}
		return
	}
	switch args[0] {
	case "break":
		s.git.Break(fault(ts, args[1]))
	case "mend":
		s.git.Break(repostest.Fault{})
	case "requests":
		asked := s.git.Requests()
		fmt.Fprintf(ts.Stdout(), "%d listings, %d packs\n", repostest.Listings(asked), repostest.Packs(asked))
	default:
		for _, name := range args {
			s.git.Repo(s.t, name)
		}
	}
}

func fault(ts *testscript.TestScript, what string) repostest.Fault {
	switch what {
	case "stall":
		return repostest.Fault{Stall: true}
	case "html":
		return repostest.Fault{HTML: true}
	case "truncate":
		return repostest.Fault{Truncate: 100}
	case "slow":
		return repostest.Fault{Delay: time.Second}
	}
	var f repostest.Fault
	if _, err := fmt.Sscan(what, &f.Status); err != nil {
		ts.Fatalf("unknown fault %q", what)
	}
	return f
}
