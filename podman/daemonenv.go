// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"net/netip"

	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/reconcile/plan"
)

// addDaemonEnv gives the container of a DaemonAgent the variables of the metadata
// service, unless it has such of its own. They are no part of its spec: where the
// host is heard is not known before, and no reason to make another one.
func (r *Runtime) addDaemonEnv(ctx context.Context, s plan.Step, c plan.ContainerSpec, spec *specgen.SpecGenerator) error {
	if r.opt.DaemonEnv == nil || s.Target.Kind != plan.DaemonAgent || c.Network == "" || r.remote {
		return nil
	}
	at, err := r.metadataAt(ctx, c.Network)
	if err != nil || len(at) == 0 {
		return err
	}
	for _, v := range r.opt.DaemonEnv(at) {
		if _, own := spec.Env[v.Name]; !own {
			spec.Env[v.Name] = v.Value
		}
	}
	return nil
}

// metadataAt is where the host will be heard in a network; none where that cannot
// be told.
func (r *Runtime) metadataAt(ctx context.Context, network string) ([]netip.AddrPort, error) {
	subnets, err := r.subnets(ctx, network)
	if err != nil {
		return nil, err
	}
	port, err := r.metadataPort()
	if err != nil || port == 0 {
		return nil, err
	}
	relay, err := r.relays(ctx)
	if err != nil {
		return nil, err
	}
	var at []netip.AddrPort
	if relay {
		for _, a := range relayAddresses(subnets) {
			at = append(at, netip.AddrPortFrom(a, port))
		}
		return at, nil
	}
	for _, s := range subnets {
		at = append(at, netip.AddrPortFrom(s.gateway, port))
	}
	return at, nil
}

// metadataPort is the port at which the host is to be heard in networks; 0 = any.
func (r *Runtime) metadataPort() (uint16, error) {
	if r.opt.MetadataPort == nil {
		return 0, nil
	}
	return r.opt.MetadataPort(func() uint16 { return r.choosePort(plan.Port{Protocol: "tcp"}) })
}

// relays reports whether the host is heard in networks by relays.
func (r *Runtime) relays(ctx context.Context) (bool, error) {
	if r.opt.Relay {
		return true, nil
	}
	return r.rootless(ctx)
}
