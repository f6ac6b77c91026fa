// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"reconcile/repos/repostest"
)

// rounds is how often each side is measured, in turns: the host's speed
// changes, and both must see the same of it.
const rounds = 7

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// compare reports the medians of git's time and ours, each once a round.
func compare(b *testing.B, theirs, ours func(round int) error) {
	b.Helper()
	var t, o []time.Duration
	took := func(do func(int) error, round int) time.Duration {
		begun := time.Now()
		if err := do(round); err != nil {
			b.Fatal(err)
		}
		return time.Since(begun)
	}
	for i := range rounds {
		if i%2 == 0 { // neither side always finds the other's pages in memory
			t, o = append(t, took(theirs, i)), append(o, took(ours, i))
		} else {
			o, t = append(o, took(ours, i)), append(t, took(theirs, i))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(t).Seconds()*1e3, "git-ms")
	b.ReportMetric(median(o).Seconds()*1e3, "ours-ms")
	b.ReportMetric(float64(median(o))/float64(median(t)), "x-git")
}

func client(dir string, args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, repostest.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %v: %w\n%s", args, err, out)
	}
	return nil
}

// tenThousand is a repository with so many files.
func tenThousand(b *testing.B) *repostest.Repo {
	b.Helper()
	repo := repostest.HTTP(b, repostest.HTTPOptions{}).Repo(b, "ten")
	files := make(map[string]string, 10_000)
	for i := range 10_000 {
		text := fmt.Sprintf("# file %d\n", i)
		for j := range 20 {
			text += fmt.Sprintf("key%d: value of %d\n", j, i*j)
		}
		files[fmt.Sprintf("dir%02d/sub%d/f%d.yaml", i%100, i%7, i)] = text
	}
	repo.Commit(b, repostest.Commit{Files: files})
	return repo
}

// BenchmarkPoll compares a fetch of what has not moved with git ls-remote.
func BenchmarkPoll(b *testing.B) {
	repo := repostest.HTTP(b, repostest.HTTPOptions{}).Repo(b, "a")
	repo.Commit(b, repostest.Commit{Files: files("a")})
	s := newStore(b, StoreOptions{})
	src := Source{URL: repo.URL, Ref: "main"}
	had(b, s, src)
	for b.Loop() {
		had(b, s, src)
	}
	compare(b,
		func(int) error { return client("", "ls-remote", repo.URL, "refs/heads/main") },
		func(int) error { return fetch(b, s, src).Err })
}

// BenchmarkClone compares the first fetch of 10,000 files with git clone --depth
// 1 --bare.
func BenchmarkClone(b *testing.B) {
	repo := tenThousand(b)
	src := Source{URL: repo.URL, Ref: "main"}
	dir := b.TempDir()
	clone := func(i int) error {
		return fetch(b, newStore(b, StoreOptions{Dir: filepath.Join(dir, fmt.Sprint("ours", i))}), src).Err
	}
	n := rounds
	for b.Loop() {
		if err := clone(n); err != nil {
			b.Fatal(err)
		}
		n++
	}
	compare(b, func(i int) error {
		return client("", "clone", "-q", "--bare", "--depth=1", "--single-branch", "--branch=main", repo.URL, filepath.Join(dir, fmt.Sprint("git", i)))
	}, clone)
}

// BenchmarkIncrement compares a fetch of one commit that changes 10 of 10,000
// files with git fetch --depth 1.
func BenchmarkIncrement(b *testing.B) {
	repo := tenThousand(b)
	src := Source{URL: repo.URL, Ref: "main"}
	s := newStore(b, StoreOptions{})
	had(b, s, src)
	dir := filepath.Join(b.TempDir(), "git")
	if err := client("", "clone", "-q", "--bare", "--depth=1", "--single-branch", "--branch=main", repo.URL, dir); err != nil {
		b.Fatal(err)
	}
	n := 0
	commit := func() {
		b.Helper()
		n++
		changed := map[string]string{}
		for i := range 10 {
			changed[fmt.Sprintf("dir%02d/sub0/f%d.yaml", i, i)] = fmt.Sprint(n)
		}
		repo.Commit(b, repostest.Commit{Files: changed})
	}
	for b.Loop() {
		b.StopTimer()
		commit()
		b.StartTimer()
		had(b, s, src)
	}
	var theirs, ours []time.Duration
	for range rounds {
		commit()
		begun := time.Now()
		if err := client(dir, "fetch", "-q", "--depth=1", repo.URL, "+refs/heads/main:refs/heads/main"); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(begun))
		begun = time.Now()
		had(b, s, src)
		ours = append(ours, time.Since(begun))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(theirs).Seconds()*1e3, "git-ms")
	b.ReportMetric(median(ours).Seconds()*1e3, "ours-ms")
	b.ReportMetric(float64(median(ours))/float64(median(theirs)), "x-git")
}

// BenchmarkRead compares reading all of 10,000 files from a mirror with git
// archive.
func BenchmarkRead(b *testing.B) {
	repo := tenThousand(b)
	src := Source{URL: repo.URL, Ref: "main"}
	s := newStore(b, StoreOptions{})
	commit := had(b, s, src)
	read := func(int) error {
		files, err := s.FS(src, commit)
		if err != nil {
			return err
		}
		return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			_, err = files.ReadFile(name)
			return err
		})
	}
	for b.Loop() {
		if err := read(0); err != nil {
			b.Fatal(err)
		}
	}
	compare(b, func(int) error {
		return client(generation(b, s, src), "archive", "--output=/dev/null", "--format=tar", commit)
	}, read)
}
