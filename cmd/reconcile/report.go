// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"reconcile/forge"
	"reconcile/reconcile"
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// reportFlags say where commit statuses are posted.
type reportFlags struct {
	kind      string
	url       string
	tokenFile string
	link      string
}

func (f *reportFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.kind, "report", "", "post commit statuses to a `forge`: github, gitlab or gitea")
	fs.StringVar(&f.url, "report-url", "", "`URL` of the repository at the forge (default: the workspace's)")
	fs.StringVar(&f.tokenFile, "report-token-file", "", "`file` with the forge's access token")
	fs.StringVar(&f.link, "report-link", "", "`URL` that commit statuses lead to")
}

// reportWait is how long the end of a command waits for the last status.
const reportWait = 5 * time.Second

// commitReporter says at the forge what becomes of the commits of a workspace.
// A nil one says nothing. Its methods never wait, but for close.
type commitReporter struct {
	reporter *forge.Reporter

	mu   sync.Mutex
	last map[string]forge.State // what was said last of a commit
}

// newCommitReporter starts the reporter that --report asks for; nil = none.
// repository is the URL of the workspace's repository; "" = it has none.
func (a *app) newCommitReporter(workspace, repository string) (*commitReporter, error) {
	f := a.report
	if f.kind == "" {
		if f.url != "" || f.tokenFile != "" || f.link != "" {
			return nil, errors.New("--report-url, --report-token-file and --report-link need --report")
		}
		return nil, nil
	}
	kind := forge.Kind(f.kind)
	if !slices.Contains(forge.Kinds(), kind) {
		return nil, fmt.Errorf("--report: %q is not one of github, gitlab, gitea", f.kind)
	}
	if f.tokenFile == "" {
		return nil, errors.New("--report needs --report-token-file")
	}
	if f.url != "" {
		repository = f.url
	}
	api, project, err := forge.Locate(kind, repository)
	if err != nil {
		return nil, fmt.Errorf("--report: %w; --report-url names the repository at the forge", err)
	}
	token, err := readSecretFile(f.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the token for --report: %w", err)
	}
	r, err := forge.NewReporter(forge.ReporterOptions{
		Kind: kind, API: api, Project: project, Token: string(token),
		Context: "reconcile/" + workspace, TargetURL: f.link, Log: a.logger(),
	})
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	return &commitReporter{reporter: r, last: map[string]forge.State{}}, nil
}

// began says that a pass has begun for a commit, if that is new.
func (c *commitReporter) began(commit string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	known := c.last[commit] != ""
	c.mu.Unlock()
	if !known {
		c.say(commit, forge.Pending, "the pass has begun")
	}
}

// ended says how a pass ended, if that is something else than before. code is
// the pass's exit code.
func (c *commitReporter) ended(commit string, code int, summary string) {
	if code == plan.ExitDone {
		c.say(commit, forge.Success, summary)
		return
	}
	c.say(commit, forge.Failure, summary)
}

// passed says how a pass of a daemon ended. A newer commit that was refused
// says nothing against the one that stays.
func (c *commitReporter) passed(e endedPass) {
	if e.rec.Result == reconcile.ResultSuperseded || e.rec.Result == reconcile.ResultInterrupted {
		return
	}
	commit := commitOf(e.rec.Revision)
	if len(e.loaded.Refused) == 0 {
		c.ended(commit, e.rec.ExitCode, passSummary(e))
		return
	}
	c.ended(e.loaded.RefusedRevision, plan.ExitRefused, e.loaded.Refused[0].Text)
	newer := refusalDiagnostics(e.loaded.Refused)
	own := slices.DeleteFunc(slices.Clone(e.loaded.Diagnostics), func(d schema.Diagnostic) bool { return slices.Contains(newer, d) })
	if code := e.res.ExitCode(own); code != plan.ExitDone || e.loaded.Fatal {
		c.ended(commit, e.rec.ExitCode, passSummary(e))
		return
	}
	c.ended(commit, plan.ExitDone, passCounts(e.res))
}

func (c *commitReporter) say(commit string, state forge.State, text string) {
	if c == nil || commit == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last[commit] == state {
		return
	}
	if len(c.last) > 100 {
		clear(c.last)
	}
	c.last[commit] = state
	c.reporter.Report(forge.Status{Commit: commit, State: state, Description: escapeLines(text)})
}

// close waits a little for what is still to be posted.
func (c *commitReporter) close() {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), reportWait)
	defer cancel()
	c.reporter.Close(ctx)
}
