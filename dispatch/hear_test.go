// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconcile/dispatch"
	"reconcile/reconcile/plan"
)

// DaemonAgents are told that they have no event, in the networks that they are in,
// for as long as they are.
func TestHear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		at := func(network, path string) string {
			synctest.Wait()
			req, err := http.NewRequest("GET", "http://10.0.0.1:80"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := l.mem.From(t.Context(), network, netip.MustParseAddr("10.88.0.9"), req)
			if err != nil {
				return "nobody"
			}
			return fmt.Sprint(res.Status, " ", res.Body)
		}
		const why = "404 this is a DaemonAgent: it is started once, and has neither an event nor a reply\n"
		expect := func(network, want string) {
			t.Helper()
			if got := at(network, dispatch.DaemonPath+"/event"); got != want {
				t.Errorf("%s: %q, want %q", network, got, want)
			}
		}
		l.set()
		expect("acme", "nobody")
		l.d.Hear([]string{"acme", "other"})
		expect("acme", why)
		expect("other", why)
		l.d.Hear([]string{"acme", "other"})
		expect("acme", why)
		l.d.Hear([]string{"other"})
		expect("acme", "nobody")
		expect("other", why)

		// An agent needs it in its network, whoever else does.
		l.set(agent("a", "ok"))
		synctest.Wait()
		if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		l.d.Hear([]string{})
		expect("acme", why)
		expect("other", "nobody")
		l.d.Set(nil)
		expect("acme", "nobody")
	})
}

// What could not be opened is opened later, and what ends by itself is
// opened anew.
func TestHearAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		l.set()
		synctest.Wait()
		var failing atomic.Bool
		failing.Store(true)
		l.mem.Fault = func(op string, _ plan.Launch) error {
			if op == "Listen" && failing.Load() {
				return errors.New("no network")
			}
			return nil
		}
		heard := func() bool {
			synctest.Wait()
			req, err := http.NewRequest("GET", "http://10.0.0.1:80/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = l.mem.From(t.Context(), "acme", netip.MustParseAddr("10.88.0.9"), req)
			return err == nil
		}
		l.d.Hear([]string{"acme"})
		if heard() {
			t.Error("it is heard though it cannot be")
		}
		time.Sleep(time.Minute)
		if heard() {
			t.Error("it is heard though it still cannot be")
		}
		failing.Store(false)
		time.Sleep(10 * time.Second)
		if !heard() {
			t.Error("it is not heard though it can be")
		}
		l.mem.CloseNetwork("acme")
		if !heard() {
			t.Error("it is not heard in what came back")
		}
		failing.Store(true)
		l.mem.CloseNetwork("acme")
		if heard() {
			t.Error("it is heard in what is gone")
		}
		l.d.Hear(nil)
		failing.Store(false)
		time.Sleep(time.Minute)
		if heard() {
			t.Error("it is heard though nobody wants it")
		}
	})
}
