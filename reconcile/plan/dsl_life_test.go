// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// The words of a scene that hooks, images, probes and wishes need:
//
//	image/a base=img:2 install=apk
//	manifest/a installed preinstall=d1:locked:copy postinstall=d2 update=d3@commit liveness=1 readiness=1
//	approve manifest/a d1 make tools
//
// and of what is observed:
//
//	ran manifest/a d1 done
//	record manifest/a hook/postinstall ago=5s container=h1 digest=d2
//	wish manifest/a stop 5s wanted=true
//	object manifest/a h1 running madeof=i1 live=failing:3s ready=passing:1s age=1h

func imageName(id plan.ID) string { return "localhost/reconcile-acme/" + id.Name }

// before is the time that long ago.
func before(ago string) (time.Time, error) {
	d, err := time.ParseDuration(ago)
	return testNow.Add(-d), err
}

func hookWord(r *plan.Resource, key, value string) bool {
	h := plan.Hook{Name: plan.HookName(key), Origin: strings.TrimSuffix(r.Origin, ":1") + ":9", Timeout: time.Minute}
	switch h.Name {
	case plan.HookPreinstall:
		parts := strings.Split(value, ":")
		h.Digest, h.Dir = parts[0], "/w/agents/"+r.ID.Name
		h.Locked, h.InCopy = slices.Contains(parts, "locked"), slices.Contains(parts, "copy")
	case plan.HookPostinstall, plan.HookUpdate:
		h.Digest, h.Revision, _ = strings.Cut(value, "@")
	default:
		return false
	}
	h.Commands = []string{key + " " + h.Digest}
	r.Hooks = append(r.Hooks, h)
	return true
}

func imageWord(i *plan.ImageSpec, key, value string) bool {
	switch key {
	case "base":
		i.Base = value
	case "install":
		i.Commands = []string{value}
	case "of":
		i.Of = value
	case "secret":
		i.Env = append(slices.Clone(i.Env), plan.EnvVar{Name: strings.ToUpper(value), Secret: "secret:" + value})
	default:
		return false
	}
	return true
}

func probeWord(c *plan.ContainerSpec, key, value string) bool {
	p := &plan.Probe{Script: value, Interval: 1000, Timeout: 5000, FailureThreshold: 5, SuccessThreshold: 1}
	switch key {
	case "liveness":
		c.Liveness = p
	case "readiness":
		c.Readiness = p
	case "installed":
		c.Installed = true
	default:
		return false
	}
	return true
}

func (s *scene) approve(words []string) error {
	a := &s.desired.Approvals
	switch words[0] {
	case "required":
		a.Required = true
	case "lockfile":
		a.Files = append(a.Files, words[1])
	default:
		id, err := plan.ParseID(words[1])
		if err != nil {
			return err
		}
		if a.Hooks == nil {
			a.Hooks, a.Texts = map[plan.ID]string{}, map[plan.ID][]string{}
		}
		a.Hooks[id], a.Texts[id] = words[2], []string{strings.Join(words[3:], " ")}
	}
	return nil
}

// wish reads ID KEY AGO [DATA…].
func (s *scene) wish(words []string) error {
	return s.record(append([]string{words[0], "wish/" + words[1], "ago=" + words[2]}, words[3:]...))
}

// ran reads ID DIGEST STATE.
func (s *scene) ran(words []string) error {
	id, err := plan.ParseID(words[0])
	if s.observed.HostHooks == nil {
		s.observed.HostHooks = map[plan.ID]plan.HostHook{}
	}
	s.observed.HostHooks[id] = plan.HostHook{Digest: words[1], State: plan.HostHookState(words[2]), At: testNow}
	return err
}

func (s *scene) lifeWord(o *plan.Object, key, value string) (bool, error) {
	switch key {
	case "usedby":
		o.UsedBy = value
	case "age":
		at, err := before(value)
		o.Created = at
		return true, err
	case "madeof":
		i := slices.IndexFunc(s.observed.Objects, func(o plan.Object) bool { return o.Handle == value })
		if i < 0 {
			return false, fmt.Errorf("no image %s", value)
		}
		of := s.observed.Objects[i]
		o.Image, o.Inputs["need:"+of.ID.String()] = of.Handle, plan.Generation(of.Digest, of.Inputs)
	case "live", "ready":
		verdict, ago, _ := strings.Cut(value, ":")
		at, err := before(ago)
		if err != nil {
			return false, err
		}
		if o.Health == nil {
			o.Health = &plan.Health{}
		}
		p := &plan.ProbeState{Verdict: plan.Verdict(verdict), Since: at, Failures: 5, Output: "no answer"}
		if key == "live" {
			o.Health.Liveness = p
		} else {
			o.Health.Readiness = p
		}
	default:
		return false, nil
	}
	return true, nil
}
