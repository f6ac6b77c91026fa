// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// The words of a scene that TaskAgents need, which have settings beside their spec:
//
//	taskagent/t level=info timeout=5s max=2 schedule=@daily in={"a":1}
//
// and of what is observed, where both are as desired but for what their line says:
//
//	revision taskagent/t 2 1h level=debug input=image:img:1→sha256:one
//	dispatch taskagent/t timeout=5s
func testDispatch(name string) *plan.Dispatch {
	return &plan.Dispatch{
		Mode: plan.DeliverStdin, Name: name, Timeout: 100 * time.Second,
		Warm: plan.WarmPool{TTL: 10 * time.Minute},
	}
}

func dispatchWord(d *plan.Dispatch, key, value string) bool {
	n, _ := strconv.Atoi(value)
	switch key {
	case "timeout":
		d.Timeout, _ = time.ParseDuration(value)
	case "max":
		d.MaxConcurrent = n
	case "warm":
		d.Warm.Size = n
	case "limitMB":
		d.StateLimit = int64(n) << 20
	case "mode":
		d.Mode = plan.DeliveryMode(value)
	case "started":
		d.Warm.Started = value == "true"
	case "schedule":
		d.Schedule = strings.ReplaceAll(value, "␠", " ")
	case "in":
		d.ScheduleInput = []byte(value)
	default:
		return false
	}
	return true
}

// revision reads ID NUMBER AGO [DATA…].
func (s *scene) revision(words []string) error {
	id, err := plan.ParseID(words[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	at, err := before(words[2])
	rev := plan.Revision{ID: id, Number: n, Ready: at, Inputs: map[string]string{}}
	rev.Spec.Container = &plan.ContainerSpec{Image: "img:1"}
	for _, r := range s.desired.Resources {
		if r.ID == id && r.Spec.Container != nil {
			c := *r.Spec.Container
			rev.Spec.Container = &c
		}
	}
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		if ok, err := specWord(&rev.Spec, key, value); err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		if key != "input" {
			return fmt.Errorf("what is %s", key)
		}
		k, v, _ := strings.Cut(value, "→")
		rev.Inputs[k] = v
	}
	for _, in := range rev.Spec.Inputs() {
		if _, said := rev.Inputs[in.String()]; !said {
			rev.Inputs[in.String()] = s.observed.Inputs[in].Value
		}
	}
	rev.Digest = rev.Spec.Digest()
	s.observed.Records.Records = append(s.observed.Records.Records, rev.Record())
	return err
}

// dispatch reads ID [DATA…].
func (s *scene) dispatch(words []string) error {
	id, err := plan.ParseID(words[0])
	d := *testDispatch("acme-" + id.Name)
	for _, r := range s.desired.Resources {
		if r.ID == id && r.Dispatch != nil {
			d = *r.Dispatch
		}
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		if !dispatchWord(&d, key, value) {
			return fmt.Errorf("what is %s", key)
		}
	}
	s.observed.Records.Records = append(s.observed.Records.Records, plan.Record{
		ID: id, Kind: plan.RecordDispatch, At: testNow.Add(-time.Hour), Data: d.Data(),
	})
	return err
}
