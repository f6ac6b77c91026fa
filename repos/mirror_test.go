// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reconcile/repos/repostest"
)

// generation is the folder of a mirror's current generation.
func generation(t testing.TB, s *Store, src Source) string {
	t.Helper()
	u, err := ParseURL(src.URL)
	if err != nil {
		t.Fatal(err)
	}
	m := s.mirror(u, src.class())
	st, err := m.load()
	if err != nil || st.Generation == "" {
		t.Fatalf("the mirror has no generation: %v", err)
	}
	return filepath.Join(m.dir, st.Generation)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func only(t testing.TB, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// A mirror that is broken in any way is whole after the next fetch; while the
// remote is down it stays as it is.
func TestBrokenMirror(t *testing.T) {
	t.Parallel()
	pack := func(t *testing.T, dir, ext string) string { return only(t, dir+"/objects/pack/*."+ext) }
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		reads bool // it shows when a file is read
	}{
		{name: "truncated pack", spoil: func(t *testing.T, dir string) {
			must(t, os.Chmod(pack(t, dir, "pack"), 0o600))
			must(t, os.Truncate(pack(t, dir, "pack"), 100))
		}},
		{name: "half a pack", spoil: func(t *testing.T, dir string) { // commit and folder can be read
			must(t, os.Chmod(pack(t, dir, "pack"), 0o600))
			must(t, os.Truncate(pack(t, dir, "pack"), 2000))
		}},
		{name: "no pack", spoil: func(t *testing.T, dir string) { must(t, os.Remove(pack(t, dir, "pack"))) }},
		{name: "no index", spoil: func(t *testing.T, dir string) { must(t, os.Remove(pack(t, dir, "idx"))) }},
		{name: "empty index", spoil: func(t *testing.T, dir string) {
			must(t, os.Chmod(pack(t, dir, "idx"), 0o600))
			must(t, os.Truncate(pack(t, dir, "idx"), 0))
		}},
		{name: "no HEAD", spoil: func(t *testing.T, dir string) { must(t, os.Remove(dir+"/HEAD")) }},
		{name: "no configuration", spoil: func(t *testing.T, dir string) { must(t, os.Remove(dir+"/config")) }},
		{name: "bad configuration", spoil: func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/config", []byte("[\x00"), 0o600)) }},
		{name: "no generation", spoil: func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }},
		{name: "no objects", spoil: func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/objects")) }},
		{name: "bad state", spoil: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Dir(dir)+"/state.json", []byte("{"), 0o600))
		}},
		{name: "state of another", spoil: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Dir(dir)+"/state.json", []byte(`{"url":"https://example.org/x","generation":"../../x"}`), 0o600))
		}},
		{name: "bad border", spoil: func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/shallow", []byte("zz\n"), 0o600)) }},
		{name: "bad byte", reads: true, spoil: func(t *testing.T, dir string) {
			file := pack(t, dir, "pack")
			must(t, os.Chmod(file, 0o600))
			b, err := os.ReadFile(file)
			must(t, err)
			for i := 600; i < len(b)-400; i++ { // within the large file's content
				b[i] ^= 0x5a
			}
			must(t, os.WriteFile(file, b, 0o600))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := repostest.HTTP(t, repostest.HTTPOptions{})
			repo := srv.Repo(t, "a")
			var noise strings.Builder
			for i := range 3000 {
				fmt.Fprintf(&noise, "%x ", i*i*7919)
			}
			first := repo.Commit(t, repostest.Commit{Files: map[string]string{"large": noise.String()}})
			src := Source{URL: repo.URL}
			s := newStore(t, StoreOptions{Retries: -1})
			had(t, s, src)
			dir := generation(t, s, src)
			tt.spoil(t, dir)
			must(t, os.WriteFile(filepath.Dir(filepath.Dir(filepath.Dir(dir)))+"/ours", nil, 0o600))

			srv.Break(repostest.Fault{Status: 500})
			if got := fetch(t, s, src); got.Err == nil {
				t.Error("the server is down, and nothing is said of it")
			}
			srv.Break(repostest.Fault{})
			if tt.reads {
				files, err := s.FS(src, first)
				if err == nil {
					_, err = files.ReadFile("large")
				}
				if err == nil {
					t.Fatal("the bad byte can be read")
				}
			}
			wantCommit(t, "fetch", fetch(t, s, src), first, nil)
			if got := content(t, s, src, first, "large"); got != noise.String() {
				t.Errorf("large has %d bytes, want %d", len(got), noise.Len())
			}
			second := repo.Commit(t, repostest.Commit{Files: files("b")})
			wantCommit(t, "next", fetch(t, s, src), second, nil)
			if got := content(t, s, src, second, "large"); got != noise.String() {
				t.Errorf("large has %d bytes, want %d", len(got), noise.Len())
			}
			repostest.Git(t, generation(t, s, src), "fsck", "--connectivity-only")
			if _, err := os.Stat(filepath.Join(s.opt.Dir, "ours")); err != nil {
				t.Errorf("a file that is not of the store: %v", err)
			}
		})
	}
}

// After many fetches a mirror is cloned afresh. What others asked for comes
// along, even if the remote has it no more, and readers do not notice.
func TestMirrorStartsOver(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	pinned := repo.Commit(t, repostest.Commit{Files: map[string]string{"dir/a": "pinned\n"}})
	repo.Commit(t, repostest.Commit{Branch: "side", Root: true, Files: files("side")})
	s := newStore(t, StoreOptions{})
	s.packs = 5
	src, pin, side := Source{URL: repo.URL}, Source{URL: repo.URL, Ref: "main", Commit: pinned}, Source{URL: repo.URL, Ref: "side"}
	had(t, s, pin)
	sideCommit := had(t, s, side)
	open, err := s.FS(pin, pinned)
	must(t, err)
	first := generation(t, s, src)
	root := true
	for i := range 8 {
		want := repo.Commit(t, repostest.Commit{Root: root, Files: map[string]string{"a": fmt.Sprint(i)}})
		root = false
		if got := had(t, s, src); got != want {
			t.Fatalf("fetch %d: %s, want %s", i, got, want)
		}
		if got := content(t, s, src, want, "a"); got != fmt.Sprint(i) {
			t.Fatalf("fetch %d: a is %q", i, got)
		}
	}
	repo.Prune(t)
	if now := generation(t, s, src); now == first {
		t.Error("the mirror did not start over")
	}
	if _, err := os.Stat(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the generation before is still there: %v", err)
	}
	if b, err := open.ReadFile("dir/a"); string(b) != "pinned\n" || err != nil {
		t.Errorf("files that were opened before: %q, %v", b, err)
	}
	got := fetch(t, s, pin)
	wantCommit(t, "pin", got, pinned, nil)
	if !got.OffRef {
		t.Error("the pin is off its ref, and nothing is said of it")
	}
	if got := content(t, s, pin, pinned, "dir/a"); got != "pinned\n" {
		t.Errorf("dir/a is %q", got)
	}
	srv.Requests()
	wantCommit(t, "side", fetch(t, s, side), sideCommit, nil)
	if p := repostest.Packs(srv.Requests()); p != 0 {
		t.Errorf("what was here before was fetched %d times", p)
	}
	repostest.Git(t, generation(t, s, src), "fsck", "--connectivity-only")
}

// What killed processes left is removed, and nothing else.
func TestMirrorIsSwept(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	repo.Commit(t, repostest.Commit{Files: files("a")})
	src := Source{URL: repo.URL}
	s := newStore(t, StoreOptions{})
	had(t, s, src)
	dir := generation(t, s, src)
	left := []string{filepath.Join(dir, "objects/pack/tmp_pack_123"), filepath.Join(filepath.Dir(dir), "7.git"), filepath.Join(filepath.Dir(dir), ".tmp-9")}
	stays := filepath.Join(filepath.Dir(dir), "note")
	for _, name := range append(left, stays) {
		must(t, os.WriteFile(name, nil, 0o600))
	}
	repo.Commit(t, repostest.Commit{Files: files("b")})
	had(t, s, src)
	for _, name := range left {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(stays); err != nil {
		t.Error(err)
	}
}

// A mirror that was not used for 30 days goes; one that is in use stays.
func TestMirrorExpires(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	old, used := srv.Repo(t, "old"), srv.Repo(t, "used")
	want := old.Commit(t, repostest.Commit{Files: files("a")})
	used.Commit(t, repostest.Commit{Files: files("b")})
	dir := filepath.Join(t.TempDir(), "mirrors")
	at := func(days int) *Store {
		s := newStore(t, StoreOptions{Dir: dir})
		now := time.Now().UTC().Add(time.Duration(days) * 24 * time.Hour)
		s.now = func() time.Time { return now }
		return s
	}
	had(t, at(0), Source{URL: old.URL})
	had(t, at(0), Source{URL: used.URL})
	must(t, os.Mkdir(filepath.Join(dir, "other"), 0o700))
	had(t, at(20), Source{URL: used.URL})
	oldDir := filepath.Dir(generation(t, at(0), Source{URL: old.URL}))
	had(t, at(29), Source{URL: used.URL})
	if _, err := os.Stat(oldDir + "/state.json"); err != nil {
		t.Fatalf("after 29 days: %v", err)
	}
	had(t, at(31), Source{URL: used.URL})
	entries, err := os.ReadDir(oldDir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "lock" {
		t.Errorf("after 31 days there are %v", entries)
	}
	if _, err := os.Stat(filepath.Join(dir, "other")); err != nil {
		t.Error(err)
	}
	late := at(32)
	wantCommit(t, "look", late.Look([]Source{{URL: old.URL}})[0], "", ErrNotHere)
	srv.Requests()
	wantCommit(t, "used", at(32).Look([]Source{{URL: used.URL}})[0], had(t, late, Source{URL: used.URL}), nil)
	wantCommit(t, "again", fetch(t, late, Source{URL: old.URL}), want, nil)
}

// TestChild is what the tests below run in processes of their own.
func TestChild(t *testing.T) {
	var o struct {
		Dir    string
		Source Source
		Times  int
	}
	if text, ok := os.LookupEnv("REPOS_TEST_CHILD"); !ok {
		t.Skip("it is run by other tests only")
	} else {
		must(t, json.Unmarshal([]byte(text), &o))
	}
	s := newStore(t, StoreOptions{Dir: o.Dir})
	for range o.Times {
		got := fetch(t, s, o.Source)
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		if got := content(t, s, o.Source, got.Commit, "a"); got != "same\n" {
			t.Errorf("a is %q", got)
		}
	}
}

func child(t *testing.T, dir string, src Source, times int) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	o, err := json.Marshal(map[string]any{"Dir": dir, "Source": src, "Times": times})
	must(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), "REPOS_TEST_CHILD="+string(o))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	return cmd, &out
}

// Processes share a mirror while its branch moves.
func TestProcessesShareMirror(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	repo.Commit(t, repostest.Commit{Files: map[string]string{"a": "same\n"}})
	dir := filepath.Join(t.TempDir(), "mirrors")
	src := Source{URL: repo.URL}
	var wg sync.WaitGroup
	for range 3 {
		cmd, out := child(t, dir, src, 15)
		wg.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	s := newStore(t, StoreOptions{Dir: dir})
	for range 2 {
		wg.Go(func() {
			for range 15 {
				got := s.Fetch(context.Background(), []Source{src})[0]
				if got.Err != nil {
					t.Error(got.Err)
					continue
				}
				files, err := s.FS(src, got.Commit)
				if err != nil {
					t.Error(err)
					continue
				}
				if b, err := files.ReadFile("a"); string(b) != "same\n" || err != nil {
					t.Errorf("a is %q, %v", b, err)
				}
			}
		})
	}
	for i := range 30 {
		repo.Commit(t, repostest.Commit{Files: map[string]string{"b": fmt.Sprint(i)}})
	}
	wg.Wait()
}

// A process that is killed in the middle of a fetch leaves nothing from which
// the next does not recover.
func TestKilledFetch(t *testing.T) {
	t.Parallel()
	srv := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := srv.Repo(t, "a")
	all := map[string]string{"a": "same\n"}
	for i := range 2000 {
		all[fmt.Sprintf("dir%d/f%d", i%40, i)] = fmt.Sprint(i * i)
	}
	first := repo.Commit(t, repostest.Commit{Files: all})
	dir := filepath.Join(t.TempDir(), "mirrors")
	src := Source{URL: repo.URL}
	s := newStore(t, StoreOptions{Dir: dir})
	good, last := "", first
	for i := range 12 {
		cmd, out := child(t, dir, src, 1)
		time.Sleep(time.Duration(20+i*25) * time.Millisecond)
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if strings.Contains(out.String(), "FAIL") {
			t.Error(out)
		}
		seen := s.Look([]Source{src})[0]
		if seen.Commit == "" && good != "" {
			t.Errorf("kill %d: the last good copy is gone: %v", i, seen.Err)
		}
		if seen.Commit != "" {
			good = seen.Commit
			if got := content(t, s, src, good, "a"); got != "same\n" {
				t.Errorf("kill %d: a is %q", i, got)
			}
		}
		if i%3 == 2 {
			wantCommit(t, fmt.Sprint("after kill ", i), fetch(t, s, src), last, nil)
			if got := content(t, s, src, last, "dir7/f47"); got != all["dir7/f47"] {
				t.Errorf("kill %d: f47 is %q", i, got)
			}
			repostest.Git(t, generation(t, s, src), "fsck", "--connectivity-only")
		}
		for j := range all {
			all[j] += "."
			if all["a"] != "same\n" {
				all["a"] = "same\n"
			}
		}
		last = repo.Commit(t, repostest.Commit{Files: all})
	}
	if m, _ := filepath.Glob(generation(t, s, src) + "/objects/pack/tmp_*"); len(m) > 2 {
		t.Errorf("killed fetches left %v", m)
	}
}

// A repository of this host is read where it is while others push to it and pack
// it.
func TestLocalRepositoryChanges(t *testing.T) {
	t.Parallel()
	repo := repostest.NewRepo(t, filepath.Join(t.TempDir(), "a.git"))
	repo.Commit(t, repostest.Commit{Files: map[string]string{"a": "same\n", "dir/b": "same\n"}})
	src := Source{URL: repo.Dir}
	s := newStore(t, StoreOptions{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					if n < 10 {
						t.Errorf("only %d reads", n)
					}
					return
				default:
				}
				got := s.Fetch(context.Background(), []Source{src})[0]
				if got.Err != nil {
					t.Error(got.Err)
					continue
				}
				files, err := s.FS(src, got.Commit)
				if err != nil {
					t.Error(err)
					continue
				}
				if b, err := files.ReadFile("dir/b"); string(b) != "same\n" || err != nil {
					t.Errorf("dir/b is %q, %v", b, err)
				}
			}
		})
	}
	for i := range 12 {
		repo.Commit(t, repostest.Commit{Files: map[string]string{"c": fmt.Sprint(i)}})
		if i%3 == 2 {
			repo.Git(t, "gc", "-q")
		}
	}
	close(stop)
	wg.Wait()
}
