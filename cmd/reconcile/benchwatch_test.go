// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"

	"reconcile/podman/podmantest"
)

// said is what a daemon in this process writes, while it is read.
type said struct {
	mu      sync.Mutex
	b       bytes.Buffer
	started time.Time // when it last said that the container was started
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := stepDone.FindSubmatch(p); m != nil && string(m[1]) == "start" {
		s.started = time.Now()
	}
	return s.b.Write(p)
}

func (s *said) lastStart() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started
}

// take empties it.
func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.b.String()
	s.b.Reset()
	return text
}

var stepDone = regexp.MustCompile(`(?m)^(stop|create|start) +manifest/agent-0000 done in (\S+)$`)

// BenchmarkSave is from the save of a manifest, among 20, until the container that
// it leads to is known to run, under a daemon. steps-ms is what stop, creation and
// start of that container took within; beyond-ms is the rest, in which the 120 ms
// are that the daemon waits for more edits.
func BenchmarkSave(b *testing.B) {
	image := podmantest.Image(b, "test/tool", podmantest.ImageOptions{})
	dir, files := benchWorkspace(b, "saved", 20, image)
	b.Setenv("RECONCILE_STATE_DIR", b.TempDir())
	b.Setenv("CONTAINER_HOST", podmantest.Socket(b))
	manifest, err := os.ReadFile(files[0])
	if err != nil {
		b.Fatal(err)
	}
	out, errs := &said{}, &said{}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"watch", "--listen", "off", dir}, stdio{out: out, err: errs})
	}()
	b.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			b.Errorf("the daemon ended with %d\n%s", code, errs.take())
		}
		run(context.Background(), []string{"destroy", "--yes", "-C", dir}, stdio{out: out, err: errs})
	})
	pass := func() string {
		text := ""
		for deadline := time.Now().Add(5 * time.Minute); !regexp.MustCompile(`(?m)^\d+ changes?, .*$`).MatchString(text); time.Sleep(10 * time.Millisecond) {
			if text += out.take(); time.Now().After(deadline) {
				b.Fatalf("no pass ended:\n%s%s", text, errs.take())
			}
		}
		return text
	}
	pass()
	conn := podmantest.Conn(b)
	ms := func(ds []time.Duration) float64 {
		slices.Sort(ds)
		return float64(ds[len(ds)/2].Microseconds()) / 1000
	}
	var took, steps, beyond []time.Duration
	for i := range rounds {
		errs.take()
		text := strings.Replace(string(manifest), "value: 3", "value: 3"+strconv.Itoa(i), 1)
		tmp := filepath.Join(dir, "agents", "agent-0000", ".save")
		if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
		saved := time.Now()
		if err := os.Rename(tmp, files[0]); err != nil {
			b.Fatal(err)
		}
		pass()
		c, err := containers.Inspect(conn, "saved-agent-0000", nil)
		if err != nil || !c.State.Running || c.State.StartedAt.Before(saved) {
			b.Fatalf("no new container runs: %v\n%s", err, errs.take())
		}
		var own time.Duration
		progress := errs.take()
		lines := stepDone.FindAllStringSubmatch(progress, -1)
		for _, m := range lines {
			d, err := time.ParseDuration(m[2])
			if err != nil {
				b.Fatal(err)
			}
			own += d
		}
		if len(lines) != 3 {
			b.Fatalf("want a stop, a creation and a start:\n%s", progress)
		}
		all := errs.lastStart().Sub(saved)
		took, steps, beyond = append(took, all), append(steps, own), append(beyond, all-own)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ms(took), "ms")
	b.ReportMetric(ms(steps), "steps-ms")
	b.ReportMetric(ms(beyond), "beyond-ms")
}
