// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// The journal of started slots is written later, and once: of more than are kept,
// the rest never comes to it. What goes on is in it before it ends.
func TestJournalLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int32
		l := newLab(t, func(o *dispatch.DispatcherOptions) { o.Journal = beginning{o.Journal, &begun} })
		a := agent("a", dispatchtest.Cat)
		a.Warm = plan.WarmPool{Size: 120, TTL: time.Hour, Started: true}
		l.set(a)
		time.Sleep(time.Minute)
		for i := range 100 {
			time.Sleep(time.Microsecond) // they are in an order
			if res := l.do(request("POST", "a", fmt.Sprint("body ", i), "Content-Type", "text/plain")); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
		}
		if n := begun.Load(); n != 0 {
			t.Errorf("%d are written before anything else could be done", n)
		}
		time.Sleep(time.Second)
		recent, err := dispatch.OpenFolder(l.dir).Recent(a.ID)
		if err != nil || len(recent) != 50 || begun.Load() != 50 {
			t.Fatalf("%d were begun and %d are kept, %v", begun.Load(), len(recent), err)
		}
		for i, e := range recent {
			log, err := os.ReadFile(filepath.Join(l.dir, "default", "a", e.Key, "log"))
			if want := fmt.Sprintf(`"data":"body %d"}`, 99-i); e.Outcome != dispatch.Succeeded || e.Warm != "started" || !strings.Contains(string(log), want) || err != nil {
				t.Errorf("%+v: %s, %v", e, log, err)
			}
		}

		long := agent("long", "nap")
		long.Warm = plan.WarmPool{Size: 1, TTL: time.Hour, Started: true}
		l.set(long)
		time.Sleep(time.Second)
		c := l.begin(request("POST", "long", ""))
		time.Sleep(time.Second)
		file := filepath.Join(l.dir, "default", "long", l.last("long").Key, "execution.json")
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), `"outcome":"running"`) {
			t.Errorf("%s, %v", b, err)
		}
		<-c.done
		time.Sleep(time.Second)
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), `"outcome":"succeeded"`) {
			t.Errorf("%s, %v", b, err)
		}
	})
}

// beginning counts what is begun.
type beginning struct {
	dispatch.Journal
	n *atomic.Int32
}

func (b beginning) Begin(e dispatch.Execution) (dispatch.Entry, error) {
	b.n.Add(1)
	return b.Journal.Begin(e)
}
