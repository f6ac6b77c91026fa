// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// The words of a scene that runs need. A Task has a key, a CronTask a schedule:
//
//	task/t run=k1 once group=agent/a:2 ttl=1h text=hello
//	crontask/c cron=0␠*␠*␠*␠* policy=Replace deadline=5m
//
// and of what is observed:
//
//	run task/t k1 Running 1h started=1h container=h1 order=1
//	object task/t h1 exited run=k1 outcome=3:5m
//	left task/t k1 0:5m
func runWord(r *plan.Resource, key, value string) (bool, error) {
	if r.Run == nil {
		r.Run = &plan.Run{}
		defer func() {
			if r.Run.Key == "" && r.Run.Cron == nil {
				r.Run = nil
			}
		}()
	}
	var err error
	switch key {
	case "run":
		r.Want, r.Run.Key = plan.WantOnce, value
	case "cron":
		r.Want, r.Run.Cron = plan.WantOnce, &plan.Cron{Schedule: strings.ReplaceAll(value, "␠", " "), Policy: plan.CronForbid, Deadline: -1, Completed: 3, Failed: 1}
	case "policy":
		r.Run.Cron.Policy = plan.CronPolicy(value)
	case "zone":
		r.Run.Cron.Zone = value
	case "suspend":
		r.Run.Cron.Suspend = true
	case "deadline":
		r.Run.Cron.Deadline, err = time.ParseDuration(value)
	case "history":
		_, err = fmt.Sscanf(value, "%d:%d", &r.Run.Cron.Completed, &r.Run.Cron.Failed)
	case "once":
		r.Run.Once = true
	case "group":
		i := strings.LastIndex(value, ":")
		r.Run.Group = value[:i]
		r.Run.Max, err = strconv.Atoi(value[i+1:])
	case "ttl":
		r.Run.TTL, err = time.ParseDuration(value)
	default:
		return false, nil
	}
	return true, err
}

// taskWord applies one word about what a task is given.
func taskWord(c *plan.ContainerSpec, key, value string) bool {
	switch key {
	case "text":
		c.Mounts = []plan.Mount{{Type: plan.MountFiles, Target: "/workspace", Files: []plan.File{{Path: "task.md", Digest: "sha256:" + value}}}}
	case "envfrom":
		c.EnvFrom = append(c.EnvFrom, value)
	case "secretfile":
		c.SecretFiles = append(c.SecretFiles, plan.SecretFile{Mode: 0o400, Ref: value, Target: "/secret"})
	default:
		return false
	}
	return true
}

// run reads ID KEY PHASE AGO [DATA…]. Times in the data are ago as well. The
// digest is that of the desired spec.
func (s *scene) run(words []string) error {
	id, err := plan.ParseID(words[0])
	if err != nil {
		return err
	}
	state := plan.RunState{Key: words[1], Name: id.Name, Order: 1, Phase: plan.RunPhase(words[2]), Inputs: map[string]string{}}
	state.Kept = state.Phase != plan.RunQueued
	at, err := before(words[3])
	for _, r := range s.desired.Resources {
		if r.ID == id && r.Run != nil {
			state.Group = r.Run.Group
		}
	}
	if state.Phase != plan.RunQueued {
		state.Digest = s.digest(id)
		state.Started = at
	}
	for _, w := range words[4:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "order":
			state.Order, err = strconv.Atoi(value)
		case "group":
			state.Group = value
		case "started":
			state.Started, err = before(value)
		case "finished":
			state.Finished, err = before(value)
		case "container":
			state.Container = value
		case "reason":
			state.Reason = value
		case "code":
			state.Code, err = strconv.Atoi(value)
		case "gone":
			state.Kept = false
		case "never":
			state.Started, state.Digest = time.Time{}, ""
		case "input":
			k, v, _ := strings.Cut(value, "→")
			state.Inputs[k] = v
		case "of":
			state.Digest, err = s.otherSpec(id, value)
		default:
			err = fmt.Errorf("what is %s", key)
		}
		if err != nil {
			return err
		}
	}
	s.observed.Records.Records = append(s.observed.Records.Records, state.Record(id, at))
	return err
}

// otherSpec is the digest of what is desired under an ID, with another text.
func (s *scene) otherSpec(id plan.ID, text string) (string, error) {
	for _, r := range s.desired.Resources {
		if r.ID == id {
			c := *r.Spec.Container
			taskWord(&c, "text", text)
			spec := plan.Spec{Container: &c}
			var err error
			s.observed.Specs[spec.Digest()], err = json.Marshal(spec)
			return spec.Digest(), err
		}
	}
	return "v1:forgotten", nil
}

// left reads how a run ended whose container is gone.
func (s *scene) left(words []string) error {
	if len(words) != 3 {
		return fmt.Errorf("left %q: want an id, a key and an outcome", words)
	}
	id, err := plan.ParseID(words[0])
	if err != nil {
		return err
	}
	how, err := outcome(words[2])
	if err != nil {
		return err
	}
	s.observed.AddOutcome(id, words[1], *how)
	return nil
}

// outcome reads CODE:AGO, or timeout:AGO.
func outcome(value string) (*plan.Outcome, error) {
	code, ago, _ := strings.Cut(value, ":")
	at, err := before(ago)
	if code == "timeout" {
		return &plan.Outcome{Code: 143, Timeout: true, Finished: at}, err
	}
	n, err2 := strconv.Atoi(code)
	if err == nil {
		err = err2
	}
	return &plan.Outcome{Code: n, Finished: at}, err
}
