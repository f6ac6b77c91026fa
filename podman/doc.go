// SPDX-License-Identifier: Apache-2.0

// Package podman is the Podman runtime: it observes containers, networks,
// volumes, secrets and images through the service's API, and carries out the
// steps of a plan, one at a time.
//
// It stands at both ends of a pass: [Runtime.Observe] supplies plan.New with
// facts, [Runtime.Do] turns one plan.Step into API calls. It decides nothing:
// which object to make, stop or delete is the plan's to say, and an object that
// turns out not to be what the plan took it for is left alone with an error.
//
// Who only looks gets a [Reader], from which nothing that writes can be reached.
//
// Values of secrets are read here, at the moment a container is created, and
// go nowhere but into Podman's own secret store. Labels, errors and progress
// carry fingerprints. Podman before 5.3 itself prints variables that are secrets
// when somebody inspects a container that was started.
//
// Podman 4.3.1 and newer are supported. The service is found as [Open]
// describes, or started for as long as the Runtime is open. One that goes away
// and comes back is found by the next Observe; [Runtime.Events] says when to look.
//
//	rt, err := podman.Open(ctx, podman.Options{StateDir: state, RunDir: run, Owner: owner})
//	if err != nil {
//		return err
//	}
//	defer rt.Close()
//	observed, err := rt.Observe(ctx, desired)
package podman
