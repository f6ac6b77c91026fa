// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/google/go-cmp/cmp"

	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// TestRunLog: without its container the log of a run is what it was with it.
func TestRunLog(t *testing.T) {
	b := newRunBed(t, nil)
	id := b.task(t, "", func(c *plan.ContainerSpec) {
		c.Main = tool("seq", "echo", "one", "--", "warn", "two", "--", "echo", "three", "--", "sleep", "1100ms", "--", "echo", "größer", "--", "echo", "", "--", "pwd")
	})
	obj := b.begin(t, id, runOne)
	middle := b.exited(t, id).Started.Add(time.Second)
	dir := filepath.Dir(b.folder(id, runOne))
	type said struct{ Out, Err string }
	var before []said
	options := []podman.LogOptions{{}, {Tail: 1}, {Tail: 2}, {Tail: 100}, {Timestamps: true}, {Since: middle}, {Since: middle, Tail: 1}, {Follow: true}}
	for _, o := range options {
		var out, errOut strings.Builder
		must(t, b.rt.Logs(t.Context(), obj.Handle, o, &out, &errOut))
		before = append(before, said{out.String(), errOut.String()})
	}
	_, err := containers.Remove(podmantest.Conn(t), obj.Handle, nil)
	must(t, err)
	fraction := regexp.MustCompile(`(?m)^(\S+)\.\d{9}`)
	for i, o := range options {
		var out, errOut strings.Builder
		must(t, podman.RunLog(t.Context(), dir, runOne, o, &out, &errOut))
		got := said{out.String(), errOut.String()}
		if o.Timestamps && podmantest.Version(t) < 5 {
			got = said{fraction.ReplaceAllString(got.Out, "$1"), fraction.ReplaceAllString(got.Err, "$1")}
		}
		if diff := cmp.Diff(before[i], got); diff != "" {
			t.Errorf("%+v (-with its container +without):\n%.1000s", o, diff)
		}
	}
	if want := (said{"one\nthree\ngrößer\n\n/\n", "two\n"}); before[0] != want {
		t.Errorf("it said %.200q", before[0])
	}
}

func TestRunLogMissing(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, runOne), 0o700))
	for _, key := range []string{runOne, "abc.2"} {
		err := podman.RunLog(t.Context(), dir, key, podman.LogOptions{}, nil, nil)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no log of the run "+key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := podman.RunLog(t.Context(), dir, "../"+runOne, podman.LogOptions{}, nil, nil); err == nil || !strings.Contains(err.Error(), "is no run") {
		t.Errorf("a path: %v", err)
	}
}

// TestRunLogText: what was cut off, or is no log at all, is no obstacle.
func TestRunLogText(t *testing.T) {
	const at = "2026-11-21T18:16:28.752515931+01:00 "
	long := strings.Repeat("x", 100000)
	for name, tt := range map[string]struct{ text, out, err string }{
		"empty":         {"", "", ""},
		"lines":         {at + "stdout F a\n" + at + "stderr F b\n" + at + "stdout F \n", "a\n\n", "b\n"},
		"long":          {at + "stdout P " + long + "\n" + at + "stdout P " + long + "\n" + at + "stdout F \n", long + long + "\n", ""},
		"endless":       {strings.Repeat(at+"stdout P "+long+"\n", 24), strings.Repeat("x", 11*len(long)) + "\n" + strings.Repeat("x", 11*len(long)) + "\n" + long + long + "\n", ""},
		"parts":         {at + "stdout P a\n" + at + "stderr P b\n" + at + "stdout F c\n" + at + "stderr F d\n", "ac\n", "bd\n"},
		"no line feed":  {at + "stdout P a\n" + at + "stdout P b\n", "ab\n", ""},
		"cut off":       {at + "stdout F a\n" + at + "stdout F b", "a\nb\n", ""},
		"cut off early": {at + "stdout F a\n" + at[:20], "a\n", ""},
		"garbage":       {"\x00\x00\n" + at + "neither F x\n" + at + "stdout X x\n" + at + "stdout F a\n", "a\n", ""},
		"spaces":        {at + "stdout F  a  b \n", " a  b \n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, runOne), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, runOne, "log"), []byte(tt.text), 0o600))
			var out, errOut strings.Builder
			must(t, podman.RunLog(t.Context(), dir, runOne, podman.LogOptions{}, &out, &errOut))
			if out.String() != tt.out || errOut.String() != tt.err {
				t.Errorf("%q and %q, want %q and %q", &out, &errOut, tt.out, tt.err)
			}
		})
	}
}

// TestRunEvents: the end of a run is heard of, also while its container stays.
func TestRunEvents(t *testing.T) {
	b := newRunBed(t, nil)
	h := hear(t, b.rt)
	heard := func(what string) {
		t.Helper()
		select {
		case <-h.heard:
		case <-time.After(patience):
			t.Fatalf("nothing was heard of %s", what)
		}
	}
	id := b.task(t, "echo ready; while ! test -e /go; do sleep 0.05; done", nil)
	obj := b.begin(t, id, runOne)
	b.running(t, obj)
	b.observe(t)
	h.quiet()
	sh(t, obj.Handle, "touch /go")
	heard("the end of a run")
	b.exited(t, id)

	id = b.task(t, "echo ready; while ! test -e /go; do sleep 0.05; done; exit 5", func(c *plan.ContainerSpec) { c.Task.KeepAlive = patience.Milliseconds() * 10 })
	b.do(t, on(plan.OpDelete, obj))
	obj = b.begin(t, id, runOne+".2")
	b.running(t, obj)
	b.observe(t)
	h.quiet()
	sh(t, obj.Handle, "touch /go")
	heard("the end of a command in a container that stays")
	if got := b.object(t, id); got.State != plan.StateRunning || got.Outcome == nil || got.Outcome.Code != 5 {
		t.Errorf("state %s, outcome %+v; want running, code 5", got.State, got.Outcome)
	}
	h.quiet()
	b.observe(t)
	h.quiet() // nothing goes on telling of it
	select {
	case <-h.heard:
		t.Error("an end that was seen is told again")
	case <-time.After(1200 * time.Millisecond):
	}
}
