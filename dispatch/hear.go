// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// Hear says in which networks somebody but TaskAgents has the URL of the metadata
// service: those of DaemonAgents, who are told there that they have no event. It is
// heard in these until it is called again, and in those of TaskAgents from when one
// needs it until none is there. A network may come later. It does not wait.
func (d *Dispatcher) Hear(networks []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metadata.also = slices.Clone(networks)
	d.settleHearing()
}

// DaemonEnv are the variables of a DaemonAgent in a network in which the service is
// heard at the addresses: those of executions, without anything that could be told
// them.
func DaemonEnv(at []netip.AddrPort) []plan.EnvVar {
	return (&outlet{addresses: at}).env(strings.TrimPrefix(strings.TrimSuffix(DaemonPath, metadataVersion), "/"))
}

// settleHearing opens the service where it is to be heard, and closes it where
// nobody is any more. The mutex is held.
func (d *Dispatcher) settleHearing() {
	if d.loops == nil || d.draining {
		return
	}
	wanted := map[string]bool{}
	for _, name := range d.metadata.also {
		wanted[name] = true
		d.hear(name)
	}
	for _, st := range d.agents {
		if c := st.agent.Revision.Spec.Container; c != nil {
			wanted[c.Network] = true
		}
		if !st.present && !st.idle() || len(st.inUse) > 0 {
			d.metadata.postponed = true // it may be anywhere
			return
		}
	}
	d.metadata.postponed = false
	for name, o := range d.metadata.unwanted(wanted) {
		d.tasks.Go(func() { d.metadata.leave(name, o) })
	}
}

// How often it is tried to open the service in a network.
const (
	hearSoon = 200 * time.Millisecond
	hearLate = 10 * time.Second
)

// hear opens the service in a network, unless it is open or about to be. The mutex
// is held.
func (d *Dispatcher) hear(name string) {
	m, ctx := d.metadata, d.loops
	if m.hearing[name] {
		return
	}
	m.hearing[name] = true
	d.tasks.Go(func() {
		said := false
		for wait := hearSoon; d.hearable(name); wait = min(2*wait, hearLate) {
			_, err := m.listen(ctx, name)
			if err == nil || ctx.Err() != nil {
				break
			}
			if !said && !errors.Is(err, fs.ErrNotExist) { // a network that is not there will come
				said = true
				d.opt.Log.Warn("the metadata service is not heard in a network", "network", name, "err", err)
			}
			if !pause(ctx, wait) {
				break
			}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(m.hearing, name)
	})
}

// hearable reports whether somebody wants to hear the service in a network still.
func (d *Dispatcher) hearable(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.draining && slices.Contains(d.metadata.also, name)
}

// unwanted are the outlets in other networks.
func (m *metadata) unwanted(wanted map[string]bool) map[string]*outlet {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]*outlet{}
	for name, o := range m.networks {
		if !wanted[name] {
			out[name] = o
		}
	}
	return out
}

// leave closes the service in a network. Who needs it there next opens it anew.
func (m *metadata) leave(name string, o *outlet) {
	o.opening <- struct{}{} // nobody opens it now
	defer func() { <-o.opening }()
	m.mu.Lock()
	if m.networks[name] == o {
		delete(m.networks, name)
	}
	m.mu.Unlock()
	m.closeOutlet(name, o)
}

// closeOutlet ends the service in a network. It may be called more than once, one at
// a time.
func (m *metadata) closeOutlet(name string, o *outlet) {
	if o.server == nil {
		return
	}
	_ = o.server.Close()
	for _, l := range o.listeners { // also those that were not served yet
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			m.opt.Log.Warn("the metadata service was not ended", "network", name, "err", err)
		}
	}
}

// serve serves a listener until it is closed. One that ends by itself ends the
// outlet: the network is another one now.
func (m *metadata) serve(name string, o *outlet, l net.Listener) {
	if err := o.server.Serve(newPerHost(l)); !errors.Is(err, http.ErrServerClosed) {
		m.opt.Log.Debug("the metadata service is opened anew when it is needed next", "network", name, "err", err)
		m.leave(name, o)
		m.ended()
	}
}

// listenAgain opens the service where it has ended by itself.
func (d *Dispatcher) listenAgain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settleHearing()
}
