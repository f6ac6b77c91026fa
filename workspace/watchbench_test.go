// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manyFolders makes 5,000 folders with a file each.
func manyFolders(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	for i := range 5000 {
		write(b, filepath.Join(dir, fmt.Sprintf("%02d/%02d/file", i/100, i%100)), "x")
	}
	return dir
}

// BenchmarkWatch begins to watch 5,000 folders. floor is a walk that adds each
// to a bare inotify instance; rescan is a look at all of them.
func BenchmarkWatch(b *testing.B) {
	dir := manyFolders(b)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
			must(b, err)
			must(b, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.IsDir() {
					return err
				}
				_, err = unix.InotifyAddWatch(fd, path, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_DELETE|unix.IN_MOVE|unix.IN_ATTRIB)
				return err
			}))
			must(b, unix.Close(fd))
		}
	})
	b.Run("begin", func(b *testing.B) {
		for b.Loop() {
			w, err := NewWatcher(WatchOptions{Changed: func() {}})
			must(b, err)
			must(b, w.Watch([]string{dir}))
			ended, cancel := context.WithCancel(b.Context())
			cancel()
			must(b, w.Run(ended))
		}
	})
	b.Run("rescan", func(b *testing.B) {
		w, err := NewWatcher(WatchOptions{Changed: func() {}})
		must(b, err)
		for b.Loop() {
			if v := w.reader().viewOf([]string{dir}); v.count() != 5051 {
				b.Fatalf("%d folders", v.count())
			}
		}
	})
}

// BenchmarkWatchLatency is the time from a save to Changed, beyond the quiet
// period.
func BenchmarkWatchLatency(b *testing.B) {
	dir := manyFolders(b)
	const quiet = 20 * time.Millisecond
	changed := make(chan time.Time, 1)
	w, err := NewWatcher(WatchOptions{Quiet: quiet, Changed: func() { changed <- time.Now() }})
	must(b, err)
	must(b, w.Watch([]string{dir}))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	var late []time.Duration
	for i := 0; b.Loop(); i++ {
		file := filepath.Join(dir, fmt.Sprintf("%02d/%02d/file", i%50, i%100))
		must(b, os.WriteFile(file+".tmp", []byte("x"), 0o644))
		must(b, os.Rename(file+".tmp", file))
		saved := time.Now()
		late = append(late, (<-changed).Sub(saved)-quiet)
	}
	cancel()
	must(b, <-done)
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "median-µs-beyond-quiet")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs-beyond-quiet")
}
