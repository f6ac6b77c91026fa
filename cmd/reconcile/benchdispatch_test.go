// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reconcile/podman/podmantest"
)

// served is a daemon as it is shipped that answers for one TaskAgent, which writes
// the file /version of its image and then its event.
type served struct {
	*watching
	url string
}

func serveAgent(b *testing.B, name, image string, settings string) *served {
	b.Helper()
	h := newHost(b, name)
	h.binary = buildBinary(b)
	dir := b.TempDir()
	text := "apiVersion: reconcile/v1alpha1\nkind: Workspace\nmetadata: {name: " + name + "}\n"
	check(b, os.WriteFile(filepath.Join(dir, "workspace.yaml"), []byte(text), 0o644))
	text = fmt.Sprintf(`apiVersion: clrk.apoxy.dev/v1alpha1
kind: TaskAgent
metadata: {name: agent, annotations: {reconcile/warm: started}}
spec:
  workerPoolRef: default
  timeout: 10m
  %s
  template:
    spec:
      image: %s
      command: [/bin/cat, /version, "-"]
`, settings, image)
	check(b, os.WriteFile(filepath.Join(dir, "agent.yaml"), []byte(text), 0o644))
	s := &served{watching: h.watch(b, dir, "--listen=127.0.0.1:0")}
	at := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	s.await(b, "the listener", func() bool { return at.MatchString(s.output.String()) })
	s.url = at.FindString(s.output.String())
	s.await(b, "the agent", func() bool { _, err := s.ask("ready"); return err == nil })
	return s
}

// versionImage is an image with the file /version, which cat may be run in.
func versionImage(n int) podmantest.ImageOptions {
	return podmantest.ImageOptions{Busybox: true, Files: map[string]string{"/version": fmt.Sprintf("%d\n", n)}}
}

// ask sends a request with an id, and returns the version that answered it.
func (s *served) ask(id string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, s.url+"/agents/default/agent", strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Clrk-Execution-ID", id)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return 0, err
	case res.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("%s: %s", res.Status, body)
	case strings.Count(string(body), `"specversion"`) != 1 || !strings.Contains(string(body), `"id":"`+id+`"`):
		return 0, fmt.Errorf("the request %s was answered by %s", id, body)
	}
	line, _, _ := strings.Cut(string(body), "\n")
	return strconv.Atoi(line)
}

// quantile is what so many of a hundred took at most. It sorts them.
func quantile(took []time.Duration, percent int) time.Duration {
	slices.Sort(took)
	return took[(len(took)-1)*percent/100]
}

// BenchmarkDispatchLoad is 32 clients that ask for 30 seconds a started pool of 32
// slots, which on real Podman is refilled more slowly than it is emptied.
func BenchmarkDispatchLoad(b *testing.B) {
	const clients, during = 32, 30 * time.Second
	s := serveAgent(b, "load", podmantest.Image(b, "benchload", versionImage(1)), "warmPoolSize: 32")
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	end := time.Now().Add(during)
	for c := range clients {
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				begin := time.Now()
				if _, err := s.ask(fmt.Sprintf("%d-%d", c, i)); err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		return
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(took))/during.Seconds(), "requests/s")
	b.ReportMetric(float64(quantile(took, 50).Milliseconds()), "p50-ms")
	b.ReportMetric(float64(quantile(took, 99).Milliseconds()), "p99-ms")
	s.end(b)
}

// BenchmarkDispatchRevisions is 1,000 requests while a tag moves 19 times. Each is
// answered once, by a version that was served when it came or a newer one. The
// memory of the daemon is that after a quarter of them, and at the end.
func BenchmarkDispatchRevisions(b *testing.B) {
	const requests, revisions = 1000, 20
	registry := podmantest.Registry(b)
	image, _ := registry.Push(b, "app:1", versionImage(1))
	s := serveAgent(b, "revisions", image, "warmPoolSize: 2")
	var sent, answered atomic.Int64
	var pushed, serving atomic.Int64 // versions
	pushed.Store(1)
	serving.Store(1)
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				n := sent.Add(1)
				if n > requests && serving.Load() == revisions || b.Failed() {
					return
				}
				least, begin := serving.Load(), time.Now()
				got, err := s.ask(fmt.Sprint("request-", n))
				if most := pushed.Load(); err != nil || int64(got) < least || int64(got) > most {
					b.Errorf("request %d was answered by version %d, of %d to %d, %v", n, got, least, most, err)
					return
				}
				for old := serving.Load(); int64(got) > old && !serving.CompareAndSwap(old, int64(got)); old = serving.Load() {
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
				answered.Add(1)
			}
		})
	}
	var early float64
	for v := 2; v <= revisions; v++ {
		s.await(b, "answers", func() bool { return b.Failed() || answered.Load() >= int64(requests*(v-1)/revisions) })
		if early == 0 && v > revisions/4 {
			early = memory(b, s.cmd.Process.Pid)["VmRSS"]
		}
		pushed.Store(int64(v))
		registry.Push(b, "app:1", versionImage(v))
		check(b, s.cmd.Process.Signal(syscall.SIGHUP))
		s.await(b, fmt.Sprint("version ", v), func() bool { return b.Failed() || serving.Load() >= int64(v) })
	}
	wg.Wait()
	if b.Failed() {
		return
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(quantile(took, 50).Milliseconds()), "p50-ms")
	b.ReportMetric(float64(quantile(took, 99).Milliseconds()), "p99-ms")
	b.ReportMetric(early, "early-rss-MiB")
	b.ReportMetric(memory(b, s.cmd.Process.Pid)["VmRSS"], "rss-MiB")
	s.end(b)
}
