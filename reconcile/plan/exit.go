// SPDX-License-Identifier: Apache-2.0

package plan

// The exit codes that a plan can lead to.
const (
	ExitDone    = 0 // done, or nothing to do
	ExitFault   = 1 // an error, or an incomplete plan
	ExitChanges = 2 // a dry run found changes
	ExitRefused = 3 // refused by policy
)

// Empty reports whether the plan changes nothing: it has no steps, or only
// records.
func (p Plan) Empty() bool {
	for _, s := range p.Steps {
		if s.Op != OpRecord {
			return false
		}
	}
	return true
}

// ExitCode is what a command exits with for this plan, if every step of it
// succeeds. A fault outweighs a refusal, and a refusal outweighs changes.
func (p Plan) ExitCode(dryRun bool) int {
	fault, refused := len(p.Incomplete) > 0, len(p.Refused) > 0
	for _, c := range p.Held {
		fault = fault || !c.Benign && !c.Policy
		refused = refused || c.Policy
	}
	switch {
	case fault:
		return ExitFault
	case refused:
		return ExitRefused
	case dryRun && !p.Empty():
		return ExitChanges
	}
	return ExitDone
}

// Summary counts what a plan does. A change with two actions counts under
// both.
type Summary struct {
	Create    int `json:"create"`
	Replace   int `json:"replace"`
	Update    int `json:"update"`
	Start     int `json:"start"`
	Restart   int `json:"restart"`
	Stop      int `json:"stop"`
	Delete    int `json:"delete"`
	Run       int `json:"run"`
	Drift     int `json:"drift"`
	Unchanged int `json:"unchanged"`
	Blocked   int `json:"blocked"` // held, other than as somebody wished
}

// Summary returns the counts of p.
func (p Plan) Summary() Summary {
	s := Summary{Drift: len(p.Drift), Unchanged: p.Unchanged}
	counts := map[Action]*int{
		ActionCreate: &s.Create, ActionReplace: &s.Replace, ActionUpdate: &s.Update, ActionStart: &s.Start,
		ActionRestart: &s.Restart, ActionStop: &s.Stop, ActionDelete: &s.Delete, ActionRun: &s.Run,
	}
	for _, c := range p.Changes {
		for _, a := range c.Actions {
			if n := counts[a]; n != nil {
				*n++
			}
		}
	}
	for _, c := range p.Held {
		if !c.Benign {
			s.Blocked++
		}
	}
	return s
}
