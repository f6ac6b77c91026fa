// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// patience only keeps a failing test from hanging.
const patience = 30 * time.Second

// watched is a Watcher at work in a test.
type watched struct {
	*Watcher
	changed chan struct{}
	log     *lockedBuffer
}

// watching runs a watcher until the test ends, and then looks for goroutines
// that are left. prepare may change it before it watches.
func watching(t *testing.T, o WatchOptions, prepare func(*Watcher), dirs ...string) *watched {
	t.Helper()
	w := &watched{changed: make(chan struct{}, 1000), log: &lockedBuffer{}}
	o.Changed = func() { w.changed <- struct{}{} }
	o.Log = slog.New(slog.NewTextHandler(w.log, nil))
	leaks := goleak.IgnoreCurrent()
	var err error
	if w.Watcher, err = NewWatcher(o); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		prepare(w.Watcher)
	}
	if err := w.Watch(dirs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		goleak.VerifyNone(t, leaks)
	})
	return w
}

// wait waits for a call of Changed and takes those that follow from the same.
func (w *watched) wait(t *testing.T, what string) {
	t.Helper()
	select {
	case <-w.changed:
	case <-time.After(patience):
		t.Fatalf("%s: no change was told of", what)
	}
	w.drain(t)
}

// drain waits for the end of a burst, if there is one.
func (w *watched) drain(t *testing.T) {
	t.Helper()
	must(t, w.Settle(t.Context()))
	for len(w.changed) > 0 {
		<-w.changed
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// onEach runs a test on the disk and in memory.
func onEach(t *testing.T, f func(t *testing.T, dir string)) {
	t.Run("disk", func(t *testing.T) { f(t, realDir(t, t.TempDir())) })
	t.Run("tmpfs", func(t *testing.T) {
		dir, err := os.MkdirTemp("/dev/shm", "watch")
		if err != nil {
			t.Skipf("no file system in memory: %v", err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		f(t, dir)
	})
}

// fastDir is a folder in memory, if there may be one.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "watch")
	if err != nil {
		return realDir(t, t.TempDir())
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func realDir(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// must is for what a test does to its files.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func appendTo(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	must(t, f.Close())
}

func gitIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// counts reports whether what do does is a change. Its notifications are known
// to have arrived when those of something done after it have.
func counts(t *testing.T, w *watched, sentinel string, do func()) bool {
	t.Helper()
	do()
	must(t, os.Chmod(sentinel, 0o600))
	dir := filepath.Dir(sentinel)
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		if w.burst.dirty[dir] {
			break
		}
		w.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("no notification of the sentinel")
		}
	}
	defer w.mu.Unlock()
	delete(w.burst.dirty, dir)
	w.settled(time.Now().Add(time.Hour))
	return w.burst.sure
}

func TestWhatCountsAsAChange(t *testing.T) {
	in := func(dir, name string) string { return filepath.Join(dir, "ws", name) }
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, dir string)
		want bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"a new file", func(t *testing.T, d string) { write(t, in(d, "new.yaml"), "x") }, true},
		{"an empty file", func(t *testing.T, d string) { write(t, in(d, "new.yaml"), "") }, true},
		{"a write in place", func(t *testing.T, d string) { appendTo(t, in(d, "a/file.yaml"), "x") }, true},
		{"a file removed", func(t *testing.T, d string) { must(t, os.Remove(in(d, "a/file.yaml"))) }, true},
		{"a file renamed", func(t *testing.T, d string) { must(t, os.Rename(in(d, "a/file.yaml"), in(d, "a/b.yaml"))) }, true},
		{"a file moved out", func(t *testing.T, d string) { must(t, os.Rename(in(d, "a/file.yaml"), filepath.Join(d, "b.yaml"))) }, true},
		{"an atomic save", func(t *testing.T, d string) {
			write(t, in(d, "a/.file.tmp"), "hello")
			must(t, os.Rename(in(d, "a/.file.tmp"), in(d, "a/file.yaml")))
		}, true},
		{"vim's way of saving", func(t *testing.T, d string) {
			write(t, in(d, "a/4913"), "")
			must(t, os.Remove(in(d, "a/4913")))
			must(t, os.Rename(in(d, "a/file.yaml"), in(d, "a/file.yaml~")))
			write(t, in(d, "a/file.yaml"), "hello")
			must(t, os.Remove(in(d, "a/file.yaml~")))
		}, true},
		{"truncation", func(t *testing.T, d string) { must(t, os.Truncate(in(d, "a/file.yaml"), 0)) }, true},
		{"made executable", func(t *testing.T, d string) { must(t, os.Chmod(in(d, "a/file.yaml"), 0o755)) }, true},
		{"a link", func(t *testing.T, d string) { must(t, os.Symlink("x", in(d, "a/link"))) }, true},
		{"a new folder", func(t *testing.T, d string) { must(t, os.MkdirAll(in(d, "x/y/z"), 0o755)) }, true},
		{"a file in a new folder", func(t *testing.T, d string) { write(t, in(d, "x/y/z/file"), "x") }, true},
		{"a folder moved in", func(t *testing.T, d string) { must(t, os.Rename(filepath.Join(d, "beside"), in(d, "beside"))) }, true},
		{"a folder removed", func(t *testing.T, d string) { must(t, os.RemoveAll(in(d, "a"))) }, true},
		{"a hidden file", func(t *testing.T, d string) { write(t, in(d, "a/.env"), "x") }, true},
		{"a root renamed away", func(t *testing.T, d string) { must(t, os.Rename(in(d, ""), filepath.Join(d, "gone"))) }, true},
		{"a rule", func(t *testing.T, d string) { appendTo(t, in(d, ".reconcileignore"), "a\n") }, true},
		{"a commit", func(t *testing.T, d string) { gitIn(t, in(d, ""), "commit", "-q", "--allow-empty", "-m", "x") }, true},
		{"a checkout", func(t *testing.T, d string) { gitIn(t, in(d, ""), "checkout", "-q", "-b", "other") }, true},

		{"reading", func(t *testing.T, d string) {
			_, err := os.ReadFile(in(d, "a/file.yaml"))
			must(t, err)
		}, false},
		{"the same mode again", func(t *testing.T, d string) { must(t, os.Chmod(in(d, "a/file.yaml"), 0o644)) }, false},
		{"the same owner again", func(t *testing.T, d string) { must(t, os.Chown(in(d, "a/file.yaml"), os.Getuid(), os.Getgid())) }, false},
		{"a file that came and went", func(t *testing.T, d string) {
			f, err := os.Create(in(d, "a/lock"))
			must(t, err)
			must(t, f.Close())
			must(t, os.Remove(in(d, "a/lock")))
		}, false},
		{"a folder that came and went", func(t *testing.T, d string) {
			must(t, os.Mkdir(in(d, "a/lock"), 0o755))
			must(t, os.Remove(in(d, "a/lock")))
		}, false},
		{"vim opening a file", func(t *testing.T, d string) { write(t, in(d, "a/.file.yaml.swp"), "x") }, false},
		{"emacs opening a file", func(t *testing.T, d string) {
			must(t, os.Symlink("me@host:1", in(d, "a/.#file.yaml")))
			write(t, in(d, "a/#file.yaml#"), "x")
		}, false},
		{"a backup", func(t *testing.T, d string) { write(t, in(d, "a/file.yaml~"), "x") }, false},
		{"git add", func(t *testing.T, d string) { gitIn(t, in(d, ""), "add", "a/file.yaml") }, false},
		{"git status", func(t *testing.T, d string) { gitIn(t, in(d, ""), "status") }, false},
		{"a file below .git", func(t *testing.T, d string) { write(t, in(d, ".git/x/y"), "x") }, false},
		{"an ignored file", func(t *testing.T, d string) { write(t, in(d, "a/x.log"), "x") }, false},
		{"a file in an ignored folder", func(t *testing.T, d string) { write(t, in(d, "skipped/x/y"), "x") }, false},
		{"a new ignored folder", func(t *testing.T, d string) { write(t, in(d, "a/out/y"), "x") }, false},
		{"a file ignored by a rule below", func(t *testing.T, d string) { write(t, in(d, "a/b/deep.tmp"), "x") }, false},
		{"the same name elsewhere", func(t *testing.T, d string) { write(t, in(d, "a/deep.tmp"), "x") }, true},
		{"what the caller ignores", func(t *testing.T, d string) { write(t, in(d, "state/x/y"), "x") }, false},
		{"a file beside the root", func(t *testing.T, d string) { write(t, filepath.Join(d, "b.yaml"), "x") }, false},
		{"a file in a folder beside the root", func(t *testing.T, d string) { write(t, filepath.Join(d, "beside/b.yaml"), "x") }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, dir string) {
				ws, other := filepath.Join(dir, "ws"), filepath.Join(dir, "other")
				write(t, filepath.Join(ws, "a/file.yaml"), "hello")
				write(t, filepath.Join(ws, "a/b/.reconcileignore"), "# rules\ndeep.tmp\n")
				write(t, filepath.Join(ws, ".reconcileignore"), "*.log\nskipped/\nout/\n")
				write(t, filepath.Join(ws, "skipped/x/z"), "x")
				write(t, filepath.Join(ws, "state/x/z"), "x")
				write(t, filepath.Join(dir, "beside/file.yaml"), "x")
				write(t, filepath.Join(other, "sentinel"), "x")
				gitIn(t, ws, "init", "-q")
				gitIn(t, ws, "commit", "-q", "--allow-empty", "-m", "first")
				ignored := func(path string, dir bool) bool { return dir && path == filepath.Join(ws, "state") }
				w := watching(t, WatchOptions{Quiet: time.Hour, Ceiling: time.Hour, Rescan: time.Hour, Ignored: ignored}, nil, ws, other)
				if got := counts(t, w, filepath.Join(other, "sentinel"), func() { tc.do(t, dir) }); got != tc.want {
					t.Errorf("is a change: %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// What was made, moved and replaced is watched from then on.
func TestWatchFollowsFolders(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		in := func(name string) string { return filepath.Join(dir, "ws", name) }
		write(t, in("a/b/c/file"), "x")
		write(t, in("z/file"), "x")
		write(t, filepath.Join(dir, "out/p/q/file"), "x")
		w := watching(t, WatchOptions{Quiet: 20 * time.Millisecond, Rescan: time.Hour}, nil, in(""))
		do := func(what string, f func()) {
			t.Helper()
			f()
			w.wait(t, what)
		}
		move := func(from, to string) func() { return func() { must(t, os.Rename(from, to)) } }
		touch := func(name string) func() { return func() { appendTo(t, in(name), "x") } }
		do("a deep file", touch("a/b/c/file"))
		do("new folders", func() { write(t, in("n/e/w/file"), "x") })
		do("a file in new folders", touch("n/e/w/file"))
		do("a folder moves in", move(filepath.Join(dir, "out"), in("out")))
		do("a file in it", touch("out/p/q/file"))
		do("a folder moves within", move(in("a"), in("a2")))
		do("a file in it", touch("a2/b/c/file"))
		do("into a folder that is made for it", func() {
			must(t, os.Mkdir(in("made"), 0o755))
			must(t, os.Rename(in("a2"), in("made/a3")))
		})
		do("a file in it", touch("made/a3/b/c/file"))
		do("two folders change places", func() {
			must(t, os.Rename(in("z"), in("tmp")))
			must(t, os.Rename(in("n"), in("z")))
			must(t, os.Rename(in("tmp"), in("n")))
		})
		do("a file in one", touch("n/file"))
		do("a file in the other", touch("z/e/w/file"))
		do("a folder is replaced", func() {
			must(t, os.RemoveAll(in("out")))
			write(t, in("out/p/q/file"), "x")
		})
		do("a file in it", touch("out/p/q/file"))
		do("a folder moves out", move(in("out"), filepath.Join(dir, "out")))
		do("and back", move(filepath.Join(dir, "out"), in("out")))
		do("a file in it", touch("out/p/q/file"))

		var want, got []string
		must(t, filepath.WalkDir(in(""), func(path string, d os.DirEntry, err error) error {
			if d.IsDir() {
				want = append(want, path)
			}
			return err
		}))
		func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			for path, f := range w.view.folders {
				if f.only == nil {
					got = append(got, path)
				}
			}
		}()
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("folders that are watched (-want +got):\n%s", diff)
		}
	})
}

// A root may be reached by links, be replaced, go and come back.
func TestWatchFollowsRoots(t *testing.T) {
	onEach(t, func(t *testing.T, dir string) {
		in := func(name string) string { return filepath.Join(dir, name) }
		write(t, in("v1/ws/file"), "1")
		write(t, in("v2/ws/file"), "2")
		write(t, in("v2/ws/deep/file"), "2")
		must(t, os.Symlink("v1", in("current")))
		must(t, os.Symlink(in("current/ws"), in("ws")))
		w := watching(t, WatchOptions{Quiet: 20 * time.Millisecond, Rescan: time.Hour}, nil, in("ws"), in("later/here"))
		do := func(what string, f func()) {
			t.Helper()
			f()
			w.wait(t, what)
		}
		swap := func(target string) func() {
			return func() {
				must(t, os.Symlink(target, in("next")))
				must(t, os.Rename(in("next"), in("current")))
			}
		}
		do("a file", func() { appendTo(t, in("v1/ws/file"), "x") })
		do("a link on the way is pointed elsewhere", swap("v2"))
		do("a file there", func() { appendTo(t, in("v2/ws/deep/file"), "x") })
		do("a folder on the way is replaced", func() {
			must(t, os.Rename(in("v2"), in("old")))
			write(t, in("v2/ws/file"), "3")
		})
		do("a file there", func() { appendTo(t, in("v2/ws/file"), "x") })
		do("the root goes", func() { must(t, os.RemoveAll(in("v2"))) })
		do("and comes back", func() { write(t, in("v2/ws/file"), "4") })
		do("a file there", func() { appendTo(t, in("v2/ws/file"), "x") })
		do("a root is made", func() { write(t, in("later/here/file"), "x") })
		do("a file there", func() { appendTo(t, in("later/here/file"), "x") })
		if got := w.State(); got != (WatchState{Folders: 2}) {
			t.Errorf("state: %+v", got)
		}
	})
}

// Who goes on reading folders after the end need not know of it.
func TestWatchAfterTheEnd(t *testing.T) {
	w, err := NewWatcher(WatchOptions{Changed: func() {}})
	must(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, w.Run(ended))
	must(t, w.Watch([]string{t.TempDir()}))
	if got := w.State(); got.Folders != 0 {
		t.Errorf("%d folders are watched", got.Folders)
	}
}

func TestWatchReplacesRoots(t *testing.T) {
	dir := realDir(t, t.TempDir())
	write(t, filepath.Join(dir, "a/x/file"), "x")
	write(t, filepath.Join(dir, "b/file"), "x")
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	w := watching(t, WatchOptions{Quiet: 20 * time.Millisecond}, nil) // of no folder, the first set
	if err := w.Watch([]string{"here"}); err == nil {
		t.Error("a relative path is watched")
	}
	must(t, w.Watch([]string{a}))
	w.wait(t, "a new root")
	must(t, w.Watch([]string{a + "/", a, filepath.Join(a, ".")}))
	must(t, w.Watch([]string{b, a, filepath.Join(a, "x")}))
	w.wait(t, "another root")
	if got := w.State(); got.Folders != 3 {
		t.Errorf("%d folders are watched, want 3", got.Folders)
	}
	appendTo(t, filepath.Join(a, "x/file"), "x")
	w.wait(t, "a file below two roots")
	appendTo(t, filepath.Join(b, "file"), "x")
	w.wait(t, "a file of the other root")
	must(t, w.Watch(nil))
	w.wait(t, "no root")
	if got := w.State(); got != (WatchState{}) {
		t.Errorf("state without roots: %+v", got)
	}
}

// A folder that cannot be read is watched once it can.
func TestWatchFolderThatCannotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "TMPDIR="+os.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Fatalf("as nobody, since root can read everything: %v\n%s", err, out)
		}
		return
	}
	dir := realDir(t, t.TempDir())
	write(t, filepath.Join(dir, "a/b/file"), "x")
	must(t, os.Chmod(filepath.Join(dir, "a"), 0))
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "a"), 0o755) })
	w := watching(t, WatchOptions{Quiet: 20 * time.Millisecond}, nil, dir)
	must(t, os.Chmod(filepath.Join(dir, "a"), 0o755))
	w.wait(t, "a folder that can be read now")
	appendTo(t, filepath.Join(dir, "a/b/file"), "x")
	w.wait(t, "a file in it")
}

func TestWatchThousandsOfFolders(t *testing.T) {
	dir := fastDir(t)
	deep := func(root string, i int) string {
		return filepath.Join(dir, root, fmt.Sprintf("%02d/%02d", i/100, i%100))
	}
	fill := func(root string) {
		for i := range 5000 {
			must(t, os.MkdirAll(deep(root, i), 0o755))
		}
	}
	fill("ws")
	w := watching(t, WatchOptions{}, nil, filepath.Join(dir, "ws"))
	if got := w.State(); got != (WatchState{Folders: 5051}) {
		t.Fatalf("state: %+v", got)
	}
	write(t, filepath.Join(deep("ws", 4999), "file"), "x")
	w.wait(t, "a file in the last folder")
	fill("ws/more")
	for w.State().Folders != 2*5051 {
		w.wait(t, "as many folders again")
	}
	write(t, filepath.Join(deep("ws/more", 4999), "file"), "x")
	w.wait(t, "a file in the last of them")
	must(t, os.RemoveAll(filepath.Join(dir, "ws/more")))
	w.wait(t, "all of them removed")
	for w.State().Folders != 5051 { // the last burst may still be open
		w.wait(t, "the rest of them removed")
	}
}

// When the kernel drops notifications, everything is read again.
func TestWatchOverflow(t *testing.T) {
	dir := fastDir(t)
	write(t, filepath.Join(dir, "file"), "x")
	w := watching(t, WatchOptions{}, nil, dir)
	func() {
		w.mu.Lock() // nobody takes notifications
		defer w.mu.Unlock()
		for i := range 40_000 {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			must(t, err)
			f.Close()
		}
		write(t, filepath.Join(dir, "late/er/file"), "x")
	}()
	w.wait(t, "an overflow")
	for w.State().Folders != 3 {
		w.wait(t, "what was made after the overflow")
	}
	appendTo(t, filepath.Join(dir, "late/er/file"), "x")
	w.wait(t, "a file in a folder that no notification told of")
	if said := w.log.String(); strings.Contains(said, "WARN") {
		t.Errorf("an overflow is nothing to warn of:\n%s", said)
	}
}
