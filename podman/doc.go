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
// What install hooks make are images of ours: [Runtime.Do] runs the hook in a
// disposable container and commits it, with the configuration of the base image
// and labels that make nothing that inherits them ours. Other hooks run in the
// container itself, by the helper. What helpers report of probes is a fact of the
// next Observe, and ends the wait for what is to be ready; whoever is in a
// container can tell of that container only, and whatever comes is bounded.
//
// Values of secrets are read here, at the moment a container is created, and
// go nowhere but into Podman's own secret store. Labels, errors and progress
// carry fingerprints. Podman before 5.3 itself prints variables that are secrets
// when somebody inspects a container that was started.
//
// A container with a plan.TaskSpec is a run. It has a folder of its own on this
// host, for this user alone: what its files are made in, which it may change, its
// log, which Podman writes there and [RunLog] reads when the container is gone, and
// how its command ended, which the helper writes and Observe reads. The folder is
// whole or is not there, and goes when the run is deleted.
//
// Files and secrets of a run belong to the user of its container. Podman itself
// makes the folders above what it mounts root's, with mode 0755, where the image has
// none: /home/agent and /home/agent/.ssh for /home/agent/.ssh/id. Those are made
// beforehand instead, for the user of the container, and folders that the image has
// stay as they are. Podman keeps a copy of a secret that is a file beside the
// container until that is removed, one for each secret: one that is Podman's own
// cannot have two modes in one container.
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
