// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"reconcile/reconcile/plan"
)

// What is kept with each revision, or of an agent, has to fit a record.
func TestTaskAgentsThatAreTooLarge(t *testing.T) {
	const agent = `apiVersion: clrk.apoxy.dev/v1alpha1
kind: TaskAgent
metadata: {name: a}
spec:
  workerPoolRef: default
  schedule: "@daily"
  scheduleInput: {text: %q}
  template: {spec: {image: counter, env: [{name: TEXT, value: %q}]}}
`
	tests := map[string]struct {
		input, env int // bytes
		want       string
	}{
		"fits":       {100 << 10, 100 << 10, ""},
		"input":      {129 << 10, 1, "agents.yaml:7:18: error: invalid value\n    spec.scheduleInput: it takes 132107 bytes as JSON; at most 131072 are kept"},
		"template":   {1, 129 << 10, "agents.yaml:1:1: error: template too large\n    what TaskAgent a is made from takes"},
		"characters": {1, 30 << 10, "agents.yaml:1:1: error: template too large"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			letter := "x"
			if name == "characters" {
				letter = "\x01" // six bytes in JSON
			}
			doc := fmt.Sprintf(agent, strings.Repeat("x", tt.input), strings.Repeat(letter, tt.env))
			s := stage(t, &txtar.Archive{Files: []txtar.File{{Name: "agents.yaml", Data: []byte(doc)}}})
			got := s.run(t)[wantDiagnostics]
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The longest template and input fit a record, however they are written down.
func TestLargestRecordsCanBeRead(t *testing.T) {
	const maxRecord = 1 << 20
	text := strings.Repeat("<", maxTemplate) // six bytes each in the file
	rev := plan.Revision{Number: 1, Spec: plan.Spec{Container: &plan.ContainerSpec{Image: text}}}
	for _, rec := range []plan.Record{rev.Record(), {Data: plan.Dispatch{ScheduleInput: []byte(`"` + text + `"`)}.Data()}} {
		if n := 6 * len(rec.Data["spec"]+rec.Data["scheduleInput"]); n > maxRecord {
			t.Errorf("it takes up to %d bytes", n)
		}
	}
}
