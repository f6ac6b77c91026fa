// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// channels are the sockets at which helpers report. Its zero value listens
// nowhere.
type channels struct {
	dir string // "" = nobody listens

	running sync.WaitGroup

	mu     sync.Mutex
	open   map[string]*channel // by key
	closed bool
	news   chan struct{} // closed and replaced at each report, and when a helper goes
	notify func()        // told when a verdict changed; nil = nobody
}

// channelKey names the channel of an instance, and its folder.
func channelKey(workspace string, id plan.ID) string {
	sum := sha256.Sum256([]byte(id.String()))
	return channelPrefix(workspace) + hex.EncodeToString(sum[:6])
}

// channelPrefix begins the names of all channels of a workspace.
func channelPrefix(workspace string) string {
	sum := sha256.Sum256([]byte(workspace))
	return hex.EncodeToString(sum[:4]) + "-"
}

var channelName = regexp.MustCompile("^[0-9a-f]{8}-[0-9a-f]{12}$")

// folder is where the channel with the key is on the host.
func (cs *channels) folder(key string) string { return filepath.Join(cs.dir, key) }

// listen opens the channel with the key, unless it is open and its socket is
// there. It reports whether it did.
func (cs *channels) listen(key string) (fresh bool, err error) {
	if !channelName.MatchString(key) {
		return false, fmt.Errorf("listen to probes: %q is no channel", key)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case cs.closed:
		return false, errClosed
	case cs.open[key] != nil:
		if _, err := os.Lstat(filepath.Join(cs.folder(key), filepath.Base(helper.Socket))); err == nil {
			return false, nil
		}
		cs.shut(key) // its folder was removed
	}
	l, err := listenAt(cs.folder(key))
	if err != nil {
		return false, fmt.Errorf("listen to probes: %w", err)
	}
	c := &channel{listener: l, conns: map[net.Conn]bool{}, reports: map[string]heard{}}
	if cs.open == nil {
		cs.open = map[string]*channel{}
	}
	cs.open[key] = c
	cs.running.Go(func() { c.serve(cs) })
	return true, nil
}

// shut closes a channel; what listened ends soon after. The caller has mu.
func (cs *channels) shut(key string) {
	c := cs.open[key]
	if c == nil {
		return
	}
	delete(cs.open, key)
	_ = c.listener.Close()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// remove closes a channel and removes its folder.
func (cs *channels) remove(key string) error {
	if cs.dir == "" || !channelName.MatchString(key) {
		return nil
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.shut(key)
	if err := os.RemoveAll(cs.folder(key)); err != nil {
		return fmt.Errorf("remove the channel of probes: %w", err)
	}
	return nil
}

// close ends all channels and returns when nobody reads any more. The folders
// stay: containers have them.
func (cs *channels) close() {
	cs.mu.Lock()
	cs.closed = true
	for key := range cs.open {
		cs.shut(key)
	}
	cs.mu.Unlock()
	cs.running.Wait()
}

// admit reports whether a connection is taken.
func (cs *channels) admit(c *channel, conn net.Conn) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed || len(c.conns) >= channelConns {
		return false
	}
	c.conns[conn] = true
	return true
}

// leave forgets a connection and what it reported: its container has ended, or
// will report anew.
func (cs *channels) leave(c *channel, conn net.Conn) {
	_ = conn.Close()
	cs.forget(c, conn)
}

func (cs *channels) forget(c *channel, conn net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(c.conns, conn)
	for container, h := range c.reports {
		if h.from == conn {
			delete(c.reports, container)
		}
	}
	cs.tell()
}

// hear takes a report. One connection speaks for one container, and the last
// connection of a container counts.
func (cs *channels) hear(c *channel, conn net.Conn, report helper.Report) {
	cs.mu.Lock()
	before, known := c.reports[report.Container]
	for container, h := range c.reports {
		if h.from == conn && container != report.Container {
			delete(c.reports, container)
		}
	}
	c.reports[report.Container] = heard{report, conn}
	cs.tell()
	notify := cs.notify
	cs.mu.Unlock()
	if notify != nil && (!known || verdicts(before.report) != verdicts(report)) {
		notify()
	}
}

func verdicts(r helper.Report) (v [2]string) {
	for i, p := range []*helper.ProbeState{r.Liveness, r.Readiness} {
		if p != nil {
			v[i] = p.Verdict
		}
	}
	return v
}

// tell wakes who waits for news. The caller has mu.
func (cs *channels) tell() {
	if cs.news != nil {
		close(cs.news)
		cs.news = nil
	}
}

// health is what the helper of a container last said, and what is closed when
// there is news of any; nil = nothing was heard.
func (cs *channels) health(key, handle string) (*plan.Health, <-chan struct{}) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.news == nil {
		cs.news = make(chan struct{})
	}
	c := cs.open[key]
	if c == nil || len(handle) < hostnameLen {
		return nil, cs.news
	}
	h, ok := c.reports[handle[:hostnameLen]]
	if !ok {
		return nil, cs.news
	}
	return &plan.Health{Liveness: probeState(h.report.Liveness), Readiness: probeState(h.report.Readiness)}, cs.news
}

func probeState(p *helper.ProbeState) *plan.ProbeState {
	if p == nil {
		return nil
	}
	return &plan.ProbeState{Verdict: plan.Verdict(p.Verdict), Since: p.Since, Failures: p.Failures, Output: p.Output}
}

// setNotify has f told whenever a verdict changed; nil = nobody any more.
func (cs *channels) setNotify(f func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.notify = f
}

// sweep removes the folders of channels of a workspace that no container has any
// more and that this process did not make.
func (cs *channels) sweep(workspace string, used map[string]bool) error {
	entries, err := os.ReadDir(cs.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, e := range entries {
		if key := e.Name(); channelName.MatchString(key) && strings.HasPrefix(key, channelPrefix(workspace)) && !used[key] && cs.open[key] == nil {
			if err := os.RemoveAll(cs.folder(key)); err != nil {
				return err
			}
		}
	}
	return nil
}
