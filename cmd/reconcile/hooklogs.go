// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"reconcile/hooks"
	"reconcile/reconcile/plan"
)

// lifecycle is the order in which hooks run.
var lifecycle = [...]plan.HookName{plan.HookPreinstall, plan.HookInstall, plan.HookPostinstall, plan.HookUpdate}

// maxHookLog bounds what is read of a log: more is never written.
const maxHookLog = 4 << 20

// hookReport is what is known of the last run of a hook. Field names are part of
// the JSON output.
type hookReport struct {
	Name   plan.HookName      `json:"name"`
	State  plan.HostHookState `json:"state,omitempty"` // of a hook on the host
	Detail string             `json:"detail,omitempty"`
	At     time.Time          `json:"at"` // of the state, or when something was printed last
	Output string             `json:"output"`
}

// printHookLogs prints what the hooks of an instance wrote in their last run.
// Podman is not asked: what hooks did is known without it.
func (a *app) printHookLogs(ctx context.Context, name string, tail int) error {
	src, err := a.load(ctx, reachHost)
	if err != nil {
		return err
	}
	if src.name == "" {
		return errors.New("the workspace has no name yet")
	}
	ran, err := hooks.Look(a.hookResults(src.name))
	if err != nil {
		fmt.Fprintln(a.std.err, "warning: "+escapeLines(err.Error()))
	}
	id, err := findID(name, a.hookOwners(src, ran))
	if err != nil {
		return err
	}
	reports, err := a.hookReports(src.name, id, ran, tail)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "id": id, "hooks": reports})
	}
	if len(reports) == 0 {
		fmt.Fprintf(a.std.err, "no hook of %s has run here\n", escape(id.String()))
		return nil
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(a.std.out)
		}
		a.printHookReport(r)
	}
	return nil
}

func (a *app) printHookReport(r hookReport) {
	state := cmp.Or(string(r.State), "ran")
	fmt.Fprintf(a.std.out, "==> %s: %s, %s\n", r.Name, state, r.At.Local().Format(time.DateTime))
	if text := strings.TrimSuffix(r.Output, "\n"); text != "" {
		fmt.Fprintln(a.std.out, escapeLines(text))
	}
	if r.Detail != "" {
		fmt.Fprintln(a.std.out, "==> "+escape(firstLine(r.Detail)))
	}
}

// hookOwners are the instances that have hooks, and those whose hooks ran here.
func (a *app) hookOwners(src source, ran map[plan.ID]plan.HostHook) []plan.ID {
	var ids []plan.ID
	for _, r := range src.Desired.Resources {
		if r.ID.Kind.Role() == plan.RoleInstance {
			ids = append(ids, r.ID)
		}
	}
	for id := range ran {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, plan.ID.Compare)
	return ids
}

func (a *app) hookReports(name string, id plan.ID, ran map[plan.ID]plan.HostHook, tail int) ([]hookReport, error) {
	out := []hookReport{}
	for _, hook := range lifecycle {
		r := hookReport{Name: hook}
		text, at, err := readHookLog(hooks.LogFile(a.hookLogs(name), id, hook))
		if err != nil {
			return nil, err
		}
		r.Output, r.At = lastOf(text, tail), at
		if fact, ok := ran[id]; ok && hook == plan.HookPreinstall {
			r.State, r.Detail, r.At = fact.State, fact.Detail, fact.At
		}
		if !r.At.IsZero() {
			out = append(out, r)
		}
	}
	return out, nil
}

// readHookLog reads a log; a zero time says that there is none.
func readHookLog(path string) (text string, at time.Time, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", time.Time{}, nil
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the output of a hook: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the output of a hook: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxHookLog))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("read the output of a hook: %w", err)
	}
	return string(bytes.ToValidUTF8(b, []byte("�"))), info.ModTime(), nil
}

// lastOf is the last lines of a text; all of it when n is 0.
func lastOf(text string, n int) string {
	if n == 0 {
		return text
	}
	lines := slices.Collect(strings.Lines(text))
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// hintAtHooks says where to look when a hook of the instance failed on this host,
// or what others said is all that there is.
func (a *app) hintAtHooks(name string, id plan.ID, alone bool) {
	ran, err := hooks.Look(a.hookResults(name))
	if err != nil {
		return // a hint that cannot be given is none
	}
	what := ""
	switch reports, err := a.hookReports(name, id, ran, 0); {
	case ran[id].State == plan.HookFailed:
		what = fmt.Sprintf("the %s hook of %s failed", plan.HookPreinstall, id)
	case alone && err == nil && len(reports) > 0:
		what = fmt.Sprintf("hooks of %s have run", id)
	default:
		return
	}
	fmt.Fprintf(a.std.err, "hint: %s: reconcile logs --hooks %s\n", escape(what), escape(id.Name))
}
