// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

// relayImage has nothing in it: what runs is mounted.
const relayImage = "localhost/reconcile/empty:1"

// relayPoll is how often is looked whether a relay that does not listen yet has ended.
const relayPoll = 200 * time.Millisecond

func relayKey(h hearing) string {
	sum := sha256.Sum256([]byte(h.workspace + "\x00" + h.root + "\x00" + h.network))
	return hex.EncodeToString(sum[:6])
}

// newSession is the session of containers that belong to this process alone.
func newSession() string { return "relay-" + strings.ToLower(rand.Text()) }

// place makes the container and starts it, and returns the connection that lasts as
// long as it listens.
func (l *relay) place(ctx context.Context) (net.Conn, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, relayStart, fmt.Errorf("it does not listen after %s", relayStart))
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	// The service does not hear that it is cut off, and goes on: what it makes then
	// would be found by nobody.
	calls, done := context.WithTimeoutCause(context.WithoutCancel(l.r.with(ctx)), relayStart, context.DeadlineExceeded)
	defer done()
	if err := l.make(calls); err != nil {
		return nil, err
	}
	return l.await(waiting)
}

// make makes the container anew and starts it.
func (l *relay) make(ctx context.Context) error {
	if err := l.r.writeHelper(ctx, l.r.mountSource(plan.Mount{Type: plan.MountHelper})); err != nil {
		return err
	}
	if _, err := l.r.MakeEmptyImage(ctx, relayImage); err != nil {
		return err
	}
	if err := l.remove(ctx); err != nil {
		return err
	}
	err := l.start(ctx)
	if err != nil && len(l.wanted) > 0 && says(err, "already allocated", "ipam", "requested ip", "static") {
		l.h.log.Warn("the relay of a network has other addresses than DaemonAgents were given",
			"network", l.h.network, "taken", relayText(l.wanted), "err", err)
		l.wanted = nil
		if err = l.remove(ctx); err == nil {
			err = l.start(ctx)
		}
	}
	return err
}

// start makes the container and starts it.
func (l *relay) start(ctx context.Context) error {
	spec := l.spec()
	made, err := containers.CreateWithSpec(ctx, spec, nil)
	if says(err, "already in use") {
		if err := l.clear(ctx, spec.Name); err != nil {
			return l.r.explain("remove what a killed service left of the relay", err)
		}
		made, err = containers.CreateWithSpec(ctx, spec, nil)
	}
	if err != nil {
		return l.r.explain("create the relay", err)
	}
	l.handle = made.ID
	if err := containers.Start(ctx, l.handle, nil); err != nil {
		return l.r.explain("start the relay", err)
	}
	c, err := containers.Inspect(ctx, l.handle, nil)
	if err != nil {
		return l.r.explain("inspect the relay", err)
	}
	if l.at = addressesIn(c, l.h.network); len(l.at) == 0 {
		return errors.New("the relay has no address")
	}
	if l.wanted == nil {
		l.wanted = l.at // by which it is known from now on
	}
	return nil
}

// clear removes what only the storage of Podman knows.
func (l *relay) clear(ctx context.Context, name string) error {
	left, err := l.r.leftover(ctx, name)
	if err != nil {
		return err
	}
	return l.r.removeContainer(ctx, left)
}

// spec is what is sent to Podman.
func (l *relay) spec() *specgen.SpecGenerator {
	no, yes := false, true
	s := specgen.NewSpecGenerator(relayImage, false)
	s.Name = l.h.workspace + "-relay-" + l.key
	s.RawImageName = relayImage
	s.Entrypoint, s.Command = []string{helper.Server}, helper.RelayArgs(l.h.port)
	s.User = "0" // whose folder that of the socket is
	s.RestartPolicy = "no"
	s.HTTPProxy, s.UnsetEnvAll = &no, &yes
	s.ReadOnlyFilesystem, s.ReadWriteTmpfs, s.NoNewPrivileges = &yes, &no, &yes
	s.CapDrop = []string{"all"}
	s.ResourceLimits = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: 256}}
	s.Mounts = []specs.Mount{
		bindMount(plan.Mount{Type: plan.MountHelper, Source: l.r.mountSource(plan.Mount{Type: plan.MountHelper}), Target: helper.Dir}),
		bindMount(plan.Mount{Type: plan.MountDir, Source: l.dir, Target: helper.RelayDir}),
	}
	s.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
	var at nettypes.PerNetworkOptions
	for _, a := range l.wanted {
		at.StaticIPs = append(at.StaticIPs, a.AsSlice())
	}
	s.Networks = map[string]nettypes.PerNetworkOptions{l.h.network: at}
	s.Labels = plan.Object{
		ID:        plan.ID{Kind: plan.Network, Name: l.h.network},
		Workspace: l.h.workspace, Root: l.h.root, Owner: l.r.opt.Owner, Version: l.r.opt.Version,
		Role: plan.RoleRelay, Session: l.h.session,
	}.Labels()
	return s
}

// await returns once the relay listens.
func (l *relay) await(ctx context.Context) (net.Conn, error) {
	tick := time.NewTicker(relayPoll)
	defer tick.Stop()
	for {
		select {
		case control := <-l.controls:
			return control, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
		c, err := containers.Inspect(l.r.with(ctx), l.handle, nil)
		if err != nil {
			return nil, l.r.explain("inspect the relay", err)
		}
		if c.State != nil && c.State.Status == "exited" {
			return nil, fmt.Errorf("the relay ended with status %d%s", c.State.ExitCode, l.said(ctx))
		}
	}
}

// said is what the relay wrote, ready to follow a message.
func (l *relay) said(ctx context.Context) string {
	var out tail
	if err := l.r.Logs(ctx, l.handle, LogOptions{}, &out, &out); err != nil {
		return ""
	}
	return clean(out.suffix())
}

// remove removes the container, and what has its name: that of a daemon that was
// killed, if nobody has removed it yet.
func (l *relay) remove(ctx context.Context) error {
	ctx = l.r.with(ctx)
	name := l.h.workspace + "-relay-" + l.key
	held, err := containers.Inspect(ctx, name, nil)
	switch {
	case notFound(err):
		return nil
	case err != nil:
		return l.r.explain("inspect the relay", err)
	}
	o, ours := plan.ParseLabels(held.Config.Labels)
	if !ours || o.Role != plan.RoleRelay || o.Workspace != l.h.workspace || o.Root != l.h.root || o.Owner != l.r.opt.Owner {
		return fmt.Errorf("the name %s belongs to another container (%s)", name, shortID(held.ID))
	}
	return l.r.explain("remove the relay", removeAtOnce(ctx, held.ID))
}
