// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"errors"
	"maps"
	"time"

	"reconcile/reconcile/plan"
)

// record returns what a record step writes. What only the runtime knew is of the
// object acted on: the ports of one just made, the container that a hook ran in,
// which owes a restart if it was started before now, or that of a run.
func record(s plan.Step, made plan.Object) (plan.Record, error) {
	if s.Record == nil {
		return plan.Record{}, errors.New("the plan says nothing to record")
	}
	r := *s.Record
	switch {
	case r.Forget:
		return r, nil
	case r.Kind == plan.RecordPorts:
		return portsRecord(r, made)
	case r.Kind == plan.RecordHook:
		return hookRecord(r, s.Object)
	case r.Kind == plan.RecordRun:
		return runRecord(r, s.Object, made)
	}
	return r, nil
}

func portsRecord(r plan.Record, made plan.Object) (plan.Record, error) {
	if r.Data == nil && made.Handle == "" {
		return plan.Record{}, errors.New("no object was created whose ports could be recorded")
	}
	if r.Data == nil {
		r.Data = plan.PortData(made.Ports)
	}
	return r, nil
}

func hookRecord(r plan.Record, container string) (plan.Record, error) {
	if r.At.IsZero() {
		r.At = time.Now().UTC()
	}
	if _, known := r.Data["container"]; known {
		return r, nil
	}
	if container == "" {
		return plan.Record{}, errors.New("there is no container in which the hook ran")
	}
	r.Data = with(r.Data, map[string]string{"container": container})
	return r, nil
}

// runRecord fills in what is known of the container of a run once it is made. A
// run that waits, or failed for want of an image, has none.
func runRecord(r plan.Record, container string, made plan.Object) (plan.Record, error) {
	if r.At.IsZero() {
		r.At = time.Now().UTC()
	}
	st := r.RunState()
	more := map[string]string{}
	if st.Phase == plan.RunRunning {
		more["started"] = r.At.UTC().Format(time.RFC3339Nano)
	}
	switch {
	case st.Container != "":
	case container != "":
		more["container"] = container
	case st.Phase == plan.RunRunning:
		return plan.Record{}, errors.New("there is no container that could be recorded as a run")
	}
	if made.Handle != "" && made.Handle == container {
		more["digest"] = made.Digest
		inputs, err := json.Marshal(made.Inputs)
		if err != nil {
			return plan.Record{}, err
		}
		if len(made.Inputs) > 0 {
			more["inputs"] = string(inputs)
		}
	}
	r.Data = with(r.Data, more)
	return r, nil
}

// with adds to data what is not in it.
func with(data, more map[string]string) map[string]string {
	more = maps.Clone(more)
	maps.Copy(more, data)
	return more
}
