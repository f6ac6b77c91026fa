// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconcile/reconcile/plan"
)

// scene is a plan's input, written in the compact form of testdata/plan. A line
// is a thing and what is said of it:
//
//	manifest/a image=img:1 port=8080:80 needs=network/net:exists
//	object manifest/a h1 running level=info
//
// An object is made of the desired spec of its ID, but for what its line says.
type scene struct {
	desired  plan.Desired
	observed plan.Observed
	options  plan.Options
}

func parseScene(t *testing.T, desired, observed, options string) scene {
	t.Helper()
	s := scene{options: plan.Options{Now: testNow}}
	s.desired = plan.Desired{Workspace: "acme", Root: testRoot, Source: "workspace.yaml:1:1"}
	s.observed = plan.Observed{
		Inputs: map[plan.Input]plan.Fact{}, Specs: map[string]json.RawMessage{},
		Records: plan.Records{Owner: testOwner},
	}
	for n, line := range eachLine(desired) {
		if err := s.desire(n, strings.Fields(line)); err != nil {
			t.Fatalf("desired: %q: %v", line, err)
		}
	}
	for _, line := range eachLine(observed) {
		if err := s.observe(strings.Fields(line)); err != nil {
			t.Fatalf("observed: %q: %v", line, err)
		}
	}
	for _, line := range eachLine(options) {
		switch line {
		case "allow-mass-delete":
			s.options.AllowMassDelete = true
		case "accept-lost-records":
			s.options.AcceptLostRecords = true
		case "adopt":
			s.options.Adopt = true
		case "supervise":
			s.options.Supervise = true
		case "require-approval":
			s.options.RequireApproval = true
		default:
			t.Fatalf("options: %q", line)
		}
	}
	return s
}

// eachLine returns the lines that say something, by number.
func eachLine(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(text) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if !yield(n, line) {
				return
			}
		}
	}
}

func (s *scene) desire(n int, words []string) error {
	switch words[0] {
	case "revision":
		s.desired.Revision = words[1]
	case "partial":
		s.desired.Partial = append(s.desired.Partial, plan.Reason{
			Code: plan.CodePartial, Text: strings.Join(words[1:], " "), Origin: fmt.Sprintf("workspace.yaml:%d:3", n),
		})
	case "empty":
		s.desired.Empty = true
	case "nofile":
		s.desired.NoFile = true
	case "destroy":
		s.desired.Destroy = true
		s.desired.Volumes = slices.Contains(words, "volumes")
	case "approve", "lockfile", "required":
		return s.approve(words)
	default:
		return s.resource(n, words)
	}
	return nil
}

func (s *scene) resource(n int, words []string) error {
	id, err := plan.ParseID(words[0])
	if err != nil {
		return err
	}
	r := plan.Resource{ID: id, Name: "acme-" + id.Name, Origin: fmt.Sprintf("acme.yaml:%d:1", n)}
	switch id.Kind {
	case plan.Network:
		r.Spec.Network = &plan.NetworkSpec{Driver: "bridge", DNS: true}
	case plan.Volume:
		r.Spec.Volume, r.Keep, r.Replace = &plan.VolumeSpec{}, true, plan.Never
	case plan.Image:
		r.Name, r.Spec.Image = imageName(id), &plan.ImageSpec{Base: "img:1", Commands: []string{"install"}, Of: "manifest/" + id.Name}
	case plan.TaskAgent:
		r.Want, r.Replace, r.Spec.Container = plan.WantPrepared, plan.Overlap, &plan.ContainerSpec{Image: "img:1"}
		r.Dispatch = testDispatch(r.Name)
	case plan.Secret:
		r.Spec.Secret = &plan.SecretSpec{Ref: "env:" + id.Name}
	default:
		r.Want, r.Spec.Container = plan.WantRunning, &plan.ContainerSpec{Image: "img:1"}
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		if ok, err := specWord(&r.Spec, key, value); err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		if err := resourceWord(&r, key, value); err != nil {
			return err
		}
	}
	s.desired.Resources = append(s.desired.Resources, r)
	return nil
}

func resourceWord(r *plan.Resource, key, value string) error {
	if hookWord(r, key, value) {
		return nil
	}
	if ok, err := runWord(r, key, value); ok || err != nil {
		return err
	}
	if r.Dispatch != nil && dispatchWord(r.Dispatch, key, value) {
		return nil
	}
	switch key {
	case "as":
		r.Name = value
	case "want":
		r.Want = plan.Want(value)
	case "replace":
		r.Replace = plan.ReplaceMode(value)
	case "restart":
		policy, limit, _ := strings.Cut(value, ":")
		r.Restart.Policy = plan.RestartPolicy(policy)
		r.Restart.Max, _ = strconv.Atoi(limit)
	case "blocked":
		r.Blocked = append(r.Blocked, plan.Reason{Code: plan.Code(value), Text: "it is " + value, Origin: r.Origin})
	case "needs":
		parts := strings.Split(value, ":")
		on, err := plan.ParseID(parts[0])
		if err != nil {
			return err
		}
		r.Needs = append(r.Needs, plan.Need{On: on, Until: plan.Until(parts[1]), Bound: len(parts) > 2, Origin: r.Origin})
	default:
		return fmt.Errorf("what is %s", key)
	}
	return nil
}

// specWord applies one word about a spec, and reports whether it was one.
func specWord(spec *plan.Spec, key, value string) (bool, error) {
	if spec.Image != nil {
		return imageWord(spec.Image, key, value), nil
	}
	c := spec.Container
	if c == nil {
		return false, nil
	}
	if probeWord(c, key, value) || taskWord(c, key, value) {
		return true, nil
	}
	switch key {
	case "image":
		c.Image = value
	case "network":
		c.Network = value
	case "level":
		c.Env = append(slices.DeleteFunc(slices.Clone(c.Env), func(e plan.EnvVar) bool { return e.Name == "LEVEL" }),
			plan.EnvVar{Name: "LEVEL", Value: value})
	case "secret":
		c.Env = append(slices.Clone(c.Env), plan.EnvVar{Name: strings.ToUpper(value), Secret: "secret:" + value})
	case "code":
		c.Mounts = append(slices.DeleteFunc(slices.Clone(c.Mounts), func(m plan.Mount) bool { return m.Type == plan.MountCopy }),
			plan.Mount{Type: plan.MountCopy, Source: "/cache/code", From: "/w/a", TreeHash: value, Target: "/code"})
	case "mount":
		c.Mounts = append(slices.Clone(c.Mounts), plan.Mount{Type: plan.MountDir, Source: "/src" + value, Target: value})
	case "port":
		ports, err := parsePort(value)
		c.Ports = append(slices.Clone(c.Ports), ports)
		return true, err
	default:
		return false, nil
	}
	return true, nil
}

// parsePort reads HOST:CONTAINER.
func parsePort(s string) (plan.Port, error) {
	host, container, _ := strings.Cut(s, ":")
	h, err1 := strconv.ParseUint(host, 10, 16)
	c, err2 := strconv.ParseUint(container, 10, 16)
	if err1 != nil || err2 != nil {
		return plan.Port{}, fmt.Errorf("port %q", s)
	}
	return plan.Port{HostIP: "127.0.0.1", HostPort: uint16(h), Container: uint16(c), Protocol: "tcp"}, nil
}

func (s *scene) observe(words []string) error {
	switch words[0] {
	case "owner":
		s.observed.Records.Owner = words[1]
	case "accepted":
		s.observed.Records.Accepted = append(s.observed.Records.Accepted, words[1])
	case "incomplete":
		s.observed.Incomplete = append(s.observed.Incomplete, plan.Reason{Code: plan.CodeUnknown, Text: strings.Join(words[1:], " ")})
	case "busy", "existed":
		id, err := plan.ParseID(words[1])
		if words[0] == "busy" {
			s.observed.Busy = append(s.observed.Busy, id)
		} else {
			s.observed.Converged = append(s.observed.Converged, id)
		}
		return err
	case "noimage": // ID after text: as backoff, since there is no image
		err := s.observe(append([]string{"backoff"}, words[1:]...))
		b := &s.observed.Backoff[len(s.observed.Backoff)-1]
		b.Image, b.At = true, testNow.Add(-time.Second)
		return err
	case "backoff": // ID after, or ID of-another-spec after
		id, err := plan.ParseID(words[1])
		b := plan.Backoff{ID: id, Digest: s.digest(id), Detail: strings.Join(words[3:], " ")}
		if words[3] == "of-another-spec" {
			b.Digest, b.Detail = "v1:other", strings.Join(words[4:], " ")
		}
		after, err2 := time.ParseDuration(words[2])
		b.Until = testNow.Add(after)
		s.observed.Backoff = append(s.observed.Backoff, b)
		return errors.Join(err, err2)
	case "fact":
		in, err := plan.ParseInput(words[1])
		f := plan.Fact{State: plan.FactState(words[2])}
		if i := slices.Index(words, "local"); i > 3 {
			words, f.Local = slices.Delete(words, i, i+1), true
		}
		if len(words) > 3 && f.State == plan.FactMissing {
			f.Detail = strings.Join(words[3:], " ")
		} else if len(words) > 3 {
			f.Value = words[3]
		}
		s.observed.Inputs[in] = f
		return err
	case "record":
		return s.record(words[1:])
	case "wish":
		return s.wish(words[1:])
	case "run":
		return s.run(words[1:])
	case "left":
		return s.left(words[1:])
	case "revision":
		return s.revision(words[1:])
	case "dispatch":
		return s.dispatch(words[1:])
	case "ran":
		return s.ran(words[1:])
	case "nohostpaths":
		s.observed.NoHostPaths = true
	case "nocommit":
		s.observed.NoCommit = true
	case "foreign":
		id, err := plan.ParseID(words[1])
		s.observed.Foreign = append(s.observed.Foreign, plan.Object{ID: plan.ID{Kind: id.Kind}, Name: words[2]})
		return err
	case "object":
		return s.object(words[1:])
	default:
		return fmt.Errorf("what is %s", words[0])
	}
	return nil
}

// digest is of what is desired under an ID; "" = nothing is.
func (s *scene) digest(id plan.ID) string {
	for _, r := range s.desired.Resources {
		if r.ID == id {
			return r.Spec.Digest()
		}
	}
	return ""
}

func (s *scene) record(words []string) error {
	id, err := plan.ParseID(words[0])
	kind, name, _ := strings.Cut(words[1], "/")
	r := plan.Record{ID: id, Kind: plan.RecordKind(kind), Key: name, Data: map[string]string{}}
	for _, w := range words[2:] {
		k, v, _ := strings.Cut(strings.ReplaceAll(w, "␠", " "), "=")
		if k == "ago" {
			r.At, err = before(v)
			continue
		}
		r.Data[k] = v
	}
	s.observed.Records.Records = append(s.observed.Records.Records, r)
	return err
}

func (s *scene) object(words []string) error {
	id, err := plan.ParseID(words[0])
	if err != nil {
		return err
	}
	o := plan.Object{
		ID: id, Handle: words[1], Name: "acme-" + id.Name, Workspace: "acme", Root: testRoot, Owner: testOwner,
		Role: id.Kind.Role(), State: plan.State(words[2]), Inputs: map[string]string{},
		Created: testNow.Add(time.Duration(len(s.observed.Objects)-1000) * time.Second),
	}
	var spec plan.Spec
	switch o.Role {
	case plan.RoleInstance:
		spec.Container = &plan.ContainerSpec{Image: "img:1"}
	case plan.RoleImage:
		o.Name, spec.Image = imageName(id), &plan.ImageSpec{Base: "img:1", Commands: []string{"install"}, Of: "manifest/" + id.Name}
	}
	for _, r := range s.desired.Resources {
		if r.ID == id {
			spec, o.Name, o.Keep = r.Spec, r.Name, r.Keep
		}
	}
	if spec.Container != nil {
		c := *spec.Container
		spec.Container = &c
		for _, w := range words[3:] {
			if strings.HasPrefix(w, "port=") || w == "port" {
				c.Ports = nil
			}
		}
	}
	if spec.Image != nil {
		i := *spec.Image
		spec.Image = &i
	}
	known := true
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case key == "spec" && value == "forgotten":
			known = false
		default:
			if ok, err := specWord(&spec, key, value); err != nil || ok {
				if err != nil {
					return err
				}
				continue
			}
			if ok, err := s.lifeWord(&o, key, value); err != nil || ok {
				if err != nil {
					return err
				}
				continue
			}
			if err := objectWord(&o, key, value); err != nil {
				return err
			}
		}
	}
	if o.Digest == "" {
		o.Digest = spec.Digest()
	}
	if known {
		s.observed.Specs[o.Digest], err = json.Marshal(spec)
	}
	for _, in := range spec.Inputs() {
		if _, said := o.Inputs[in.String()]; !said {
			o.Inputs[in.String()] = s.observed.Inputs[in].Value
		}
	}
	s.observed.Objects = append(s.observed.Objects, o)
	return err
}

func objectWord(o *plan.Object, key, value string) error {
	switch key {
	case "as":
		o.Name = value
	case "owner":
		o.Owner = value
	case "root":
		o.Root = value
	case "session":
		o.Session = value
	case "digest":
		o.Digest = value
	case "keep":
		o.Keep = true
	case "exit":
		o.ExitCode, _ = strconv.Atoi(value)
	case "started", "finished":
		ago, err := time.ParseDuration(value)
		if key == "started" {
			o.Started = testNow.Add(-ago)
		} else {
			o.Finished = testNow.Add(-ago)
		}
		return err
	case "run":
		o.Run = value
	case "outcome":
		how, err := outcome(value)
		o.Outcome = how
		return err
	case "drift":
		o.Drift = append(o.Drift, plan.Reason{Code: plan.Code(value), Text: "it is " + value})
	case "input":
		k, v, _ := strings.Cut(value, "→")
		o.Inputs[k] = v
	case "publishes":
		p, err := parsePort(value)
		o.Ports = append(o.Ports, p)
		return err
	default:
		return fmt.Errorf("what is %s", key)
	}
	return nil
}
