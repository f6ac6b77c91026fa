// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/opencontainers/runtime-spec/specs-go"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/helper"
	"reconcile/reconcile/plan"
)

const (
	// defaultPath is PATH where the image's own is dropped and none is given.
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// defaultStopTimeout is the seconds between SIGTERM and SIGKILL.
	defaultStopTimeout = 10
	cpuPeriod          = 100000 // microseconds
)

// argv is a process in Podman's terms. Both empty = the image's own command.
type argv struct{ entrypoint, command []string }

// processOf works out which command a process is in an image.
func processOf(p plan.Process, img image) argv {
	a := argv{entrypoint: p.Command, command: p.Args}
	if p.Command != nil {
		return a
	}
	a.entrypoint = img.entrypoint
	if len(p.Args) == 0 && p.ImageCmd {
		a.command = img.cmd
	}
	return a
}

func (a argv) all() []string { return slices.Concat(a.entrypoint, a.command) }

// commandOf is what a container runs.
func commandOf(c plan.ContainerSpec, img image) (argv, error) {
	if !c.Helper {
		a := processOf(c.Main, img)
		if len(a.all()) == 0 {
			return argv{}, noEntrypoint(c.Image)
		}
		return a, nil
	}
	main := c.Main
	if c.Task != nil && main.Command == nil && len(main.Args) == 0 {
		main.ImageCmd = true // a task has no default supervisor
	}
	cfg := helper.Config{Liveness: helperProbe(c.Liveness), Readiness: helperProbe(c.Readiness)}
	if cfg.Liveness != nil || cfg.Readiness != nil {
		cfg.Secrets = sortedKeys(secretVariables(c)) // what probes say is shown
	}
	if main.Command != nil || len(main.Args) > 0 || main.ImageCmd {
		cfg.Main = processOf(main, img).all()
		if len(cfg.Main) == 0 {
			return argv{}, noEntrypoint(c.Image)
		}
	}
	if c.Beside != nil {
		cfg.Beside = processOf(*c.Beside, img).all()
		if len(cfg.Beside) == 0 {
			return argv{}, noEntrypoint(c.Image)
		}
	}
	if t := c.Task; t != nil {
		cfg.Task = &helper.Task{
			KeepAlive: time.Duration(t.KeepAlive) * time.Millisecond, Timeout: time.Duration(t.Timeout) * time.Millisecond,
		}
	}
	return argv{entrypoint: []string{helper.Server}, command: cfg.Args()}, nil
}

// noEntrypoint is the failure of a container that nothing would run in.
func noEntrypoint(image string) error {
	return forGood(fmt.Errorf("NoEntrypoint: the image %s has no entrypoint, and no command is given", image))
}

// generate translates a spec. Secrets and labels are the caller's.
func (r *Runtime) generate(ctx context.Context, name string, c plan.ContainerSpec, published []plan.Port, img image, bundle bool) (*specgen.SpecGenerator, error) {
	command, err := commandOf(c, img)
	if err != nil {
		return nil, err
	}
	no, yes := false, true
	// Podman finds the name that it shows for an image by the bare ID alone.
	s := specgen.NewSpecGenerator(strings.TrimPrefix(img.id, "sha256:"), false)
	s.Name = name
	s.RawImageName = c.Image
	s.Entrypoint, s.Command = command.entrypoint, command.command
	s.RestartPolicy = "no"
	s.HTTPProxy = &no // the operator's environment stays outside
	stopTimeout := uint(defaultStopTimeout)
	if c.StopTimeout > 0 {
		stopTimeout = uint(c.StopTimeout)
	}
	s.StopTimeout = &stopTimeout
	s.User = c.User
	if c.WorkDir != "" {
		s.WorkDir = c.WorkDir
		s.CreateWorkingDir = &yes
	}
	s.Env = environment(c, bundle)
	if c.NoImageEnv {
		s.UnsetEnvAll = &yes
	}
	if c.ReadOnlyRoot {
		s.ReadOnlyFilesystem = &yes
		s.ReadWriteTmpfs = &no // writable places are mounts of the spec
	}
	s.CapDrop, s.CapAdd = c.CapDrop, c.CapAdd
	if c.NoNewPrivileges {
		s.NoNewPrivileges = &yes
	}
	s.ResourceLimits = limits(r.enforceable(ctx, c))
	if err := r.addMounts(s, c.Mounts); err != nil {
		return nil, err
	}
	addNetwork(s, c, published)
	return s, nil
}

// environment is the literal part of the environment.
func environment(c plan.ContainerSpec, bundle bool) map[string]string {
	env := map[string]string{}
	if c.NoImageEnv {
		env["PATH"] = defaultPath
	}
	if bundle {
		for _, name := range caVariables {
			env[name] = caBundle
		}
	}
	for _, v := range c.Env {
		if v.Secret == "" {
			env[v.Name] = v.Value
		} else {
			delete(env, v.Name)
		}
	}
	return env
}

func limits(c plan.ContainerSpec) *specs.LinuxResources {
	var l specs.LinuxResources
	if c.PidsLimit != 0 {
		l.Pids = &specs.LinuxPids{Limit: c.PidsLimit}
	}
	if c.Memory > 0 {
		// Twice the memory, swap included, is what podman run does too.
		swap := 2 * c.Memory
		l.Memory = &specs.LinuxMemory{Limit: &c.Memory, Swap: &swap}
	}
	if c.NanoCPUs > 0 {
		period, quota := uint64(cpuPeriod), c.NanoCPUs*cpuPeriod/1e9
		quota = max(quota, 1000) // the kernel takes no less
		l.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	if l.Pids == nil && l.Memory == nil && l.CPU == nil {
		return nil
	}
	return &l
}

func (r *Runtime) addMounts(s *specgen.SpecGenerator, mounts []plan.Mount) error {
	for _, m := range mounts {
		switch m.Type {
		case plan.MountDir, plan.MountCopy, plan.MountHelper, plan.MountFiles:
			m.Source = r.mountSource(m)
			s.Mounts = append(s.Mounts, bindMount(m))
		case plan.MountTmpfs:
			options := []string{access(m), "nosuid", "nodev", "exec", "mode=1777", "notmpcopyup"}
			if m.SizeBytes > 0 {
				options = append(options, "size="+strconv.FormatInt(m.SizeBytes, 10))
			}
			s.Mounts = append(s.Mounts, specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: m.Target, Options: options})
		case plan.MountVolume:
			if m.Source == "" {
				return fmt.Errorf("mount %s: no volume is named", m.Target)
			}
			s.Volumes = append(s.Volumes, &specgen.NamedVolume{Name: m.Source, Dest: m.Target, Options: []string{access(m)}})
		default:
			return fmt.Errorf("mount %s: unknown type %q", m.Target, m.Type)
		}
	}
	return nil
}

// bindMount is a mount of a file or folder of this host.
func bindMount(m plan.Mount) specs.Mount {
	options := []string{"rbind", "rprivate", access(m)}
	if m.Relabel != "" {
		options = append(options, m.Relabel)
	}
	return specs.Mount{Type: "bind", Source: m.Source, Destination: m.Target, Options: options}
}

func access(m plan.Mount) string {
	if m.ReadOnly || m.Type == plan.MountHelper {
		return "ro"
	}
	return "rw"
}

func addNetwork(s *specgen.SpecGenerator, c plan.ContainerSpec, published []plan.Port) {
	switch {
	case c.Network != "":
		s.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
		s.Networks = map[string]nettypes.PerNetworkOptions{c.Network: {Aliases: c.Aliases}}
	case len(published) > 0:
		s.NetNS = specgen.Namespace{NSMode: specgen.Bridge} // Podman's default network: a port needs one
	default:
		s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	}
	for _, p := range published {
		s.PortMappings = append(s.PortMappings, nettypes.PortMapping{
			HostIP: p.HostIP, HostPort: p.HostPort, ContainerPort: p.Container, Protocol: p.Protocol, Range: 1,
		})
	}
}

// validate reports what no service could do, before anything is made.
func validate(c plan.ContainerSpec) error {
	var errs []error
	for _, v := range c.Env {
		if strings.ContainsRune(v.Value, 0) {
			errs = append(errs, fmt.Errorf("env %s: a value cannot hold a NUL byte", v.Name))
		}
	}
	targets := map[string]bool{}
	for _, m := range c.Mounts {
		if targets[m.Target] {
			errs = append(errs, fmt.Errorf("mount %s: two mounts have this target", m.Target))
		}
		targets[m.Target] = true
		if m.Type == plan.MountFiles && c.Task == nil {
			errs = append(errs, fmt.Errorf("mount %s: only a run has files of its own", m.Target))
		}
	}
	if c.Task != nil && !c.Helper {
		errs = append(errs, errors.New("a run needs the helper"))
	}
	return errors.Join(errs...)
}

// secretVariables are the variables that are secrets: name → reference.
func secretVariables(c plan.ContainerSpec) map[string]string {
	vars := map[string]string{}
	for _, v := range c.Env {
		if v.Secret != "" {
			vars[v.Name] = v.Secret
		}
	}
	return vars
}

// sortedKeys makes the order of calls the same every time.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
