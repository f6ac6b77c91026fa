// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
)

// dial sends the begin of a request to an agent over a connection of its own.
func (l *lab) dial(text string) net.Conn {
	l.t.Helper()
	s := httptest.NewServer(l.d)
	l.t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// cutLab has executions wait for their clients for ever, until they are cut.
func cutLab(t *testing.T, ended chan<- dispatch.Execution) *lab {
	return newLab(t, func(o *dispatch.DispatcherOptions) {
		o.DrainTimeout = time.Hour
		o.Ended = func(e dispatch.Execution) { ended <- e }
	})
}

// A dispatcher that is cut waits for no client that does not read its answer.
func TestCutOfAnswer(t *testing.T) {
	ended := make(chan dispatch.Execution, 1)
	l := cutLab(t, ended)
	l.mem.Programs["large"] = func(p *dispatchtest.Process) int {
		_, err := p.Stdout.Write(make([]byte, 32<<20))
		if err != nil {
			return 1
		}
		return 0
	}
	l.set(agent("big", "large"))
	<-l.d.Opened()
	l.dial("POST /agents/default/big HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if e := <-ended; e.Outcome != dispatch.Succeeded {
		t.Fatalf("it ended as %+v", e)
	}
	stopped := make(chan struct{})
	go func() { l.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("the client has not read its answer, and was not waited for")
	case <-time.After(50 * time.Millisecond):
	}
	l.d.Cut()
	<-stopped
}

// Nor for one that does not send its body.
func TestCutOfBody(t *testing.T) {
	l := cutLab(t, make(chan dispatch.Execution, 1))
	l.set(agent("run", "ok"))
	<-l.d.Opened()
	c := l.dial("POST /agents/default/run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
	for l.status("run").InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	stopped := make(chan struct{})
	go func() { l.stop(); close(stopped) }()
	l.d.Cut()
	<-stopped
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := fmt.Sprint(res.StatusCode, " ", text(t, res)); !strings.Contains(got, "503") || !strings.Contains(got, "the daemon is ending") {
		t.Errorf("got %s", got)
	}
}

// What an execution and a schedule came to is told.
func TestEndedIsTold(t *testing.T) {
	ended := make(chan dispatch.Execution, 1)
	l := cutLab(t, ended)
	l.set(agent("run", "fail"))
	<-l.d.Opened()
	text(t, l.do(request("POST", "run", "")))
	if e := <-ended; e.Outcome != dispatch.Failed || e.Agent.Name != "run" || e.Ended.IsZero() {
		t.Errorf("it ended as %+v", e)
	}
}
