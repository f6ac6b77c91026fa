// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// TestChannelsClose: nothing goes on after channels are closed, whoever is
// connected, and none can be opened any more.
func TestChannelsClose(t *testing.T) {
	before := runtime.NumGoroutine()
	cs := &channels{dir: filepath.Join(shortDir(t), "deep", "er")}
	var conns []net.Conn
	for _, name := range []string{"a", "b", "c"} {
		key := channelKey("w", plan.ID{Kind: plan.Manifest, Name: name})
		if fresh, err := cs.listen(key); !fresh || err != nil {
			t.Fatal(fresh, err)
		}
		if fresh, err := cs.listen(key); fresh || err != nil {
			t.Fatal("opened twice", fresh, err)
		}
		for range 2 {
			c, err := net.Dial("unix", filepath.Join(cs.folder(key), "helper.sock"))
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
	}
	cs.close()
	for _, c := range conns {
		if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("read: %v, want an end", err)
		}
		c.Close()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, before %d", n, before)
	}
	if _, err := cs.listen(channelKey("w", plan.ID{Kind: plan.Manifest, Name: "a"})); !errors.Is(err, errClosed) {
		t.Errorf("listen: %v, want %v", err, errClosed)
	}
	if _, err := cs.listen("../../etc"); err == nil {
		t.Error("a channel with any name")
	}
}

// TestChannelPlace: folders are for one workspace and one instance; who may enter
// them and what is too long.
func TestChannelPlace(t *testing.T) {
	id := plan.ID{Kind: plan.Manifest, Name: "a"}
	if a, b := channelKey("w", id), channelKey("v", id); a == b || !channelName.MatchString(a) {
		t.Errorf("keys %s and %s", a, b)
	}
	dir := filepath.Join(shortDir(t), "h")
	cs := &channels{dir: dir}
	defer cs.close()
	key := channelKey("w", id)
	if _, err := cs.listen(key); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, cs.folder(key): 0o755, filepath.Join(cs.folder(key), "helper.sock"): 0o666} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", path, info.Mode(), err, want)
		}
	}
	long := &channels{dir: filepath.Join(dir, strings.Repeat("x", 100))}
	if _, err := long.listen(key); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("listen in a long folder: %v", err)
	}
	if err := cs.remove(key); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(cs.folder(key)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder stays: %v", err)
	}
}

// TestChannelNews: each connection speaks for one container, the last one of a
// container counts, and only another verdict is told.
func TestChannelNews(t *testing.T) {
	cs := &channels{dir: "x"}
	told := 0
	cs.setNotify(func() { told++ })
	c := &channel{conns: map[net.Conn]bool{}, reports: map[string]heard{}}
	cs.open = map[string]*channel{"k": c}
	first, second := net.Conn(&net.UnixConn{}), net.Conn(&net.UnixConn{})
	const one, two = "0123456789ab", "ba9876543210"
	say := func(conn net.Conn, container, verdict string) {
		cs.hear(c, conn, helper.Report{Container: container, Readiness: &helper.ProbeState{Verdict: verdict, Failures: told}})
	}
	want := func(handle string, v plan.Verdict, heard bool, notified int) {
		t.Helper()
		h, _ := cs.health("k", handle+"ffff")
		if (h != nil) != heard || h != nil && h.Readiness.Verdict != v || told != notified {
			t.Errorf("health %+v, told %d times; want %q, %v, %d", h, told, v, heard, notified)
		}
	}
	want(one, "", false, 0)
	say(first, one, "")
	want(one, plan.VerdictPending, true, 1)
	say(first, one, helper.Failing)
	say(first, one, helper.Failing)
	want(one, plan.VerdictFailing, true, 2)
	say(first, two, helper.Passing)
	want(one, "", false, 3)
	want(two, plan.VerdictPassing, true, 3)
	say(second, two, helper.Passing)
	delete(c.conns, first)
	cs.forget(c, first)
	want(two, plan.VerdictPassing, true, 3)

	_, news := cs.health("k", two)
	cs.forget(c, second)
	select {
	case <-news:
	case <-time.After(time.Minute):
		t.Error("no news of a helper that went")
	}
	want(two, "", false, 3)
}
