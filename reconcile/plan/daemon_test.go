// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
)

// daemonLife is a DaemonAgent that a planner supervises, in virtual time: what its
// plans do to its one container is done at once.
type daemonLife struct {
	t       *testing.T
	d       plan.Desired
	o       plan.Observed
	opts    plan.Options
	starts  []time.Duration // since the begin
	began   time.Time
	lifes   []time.Duration // how long each process runs, the last again and again
	codes   []int           // it exits with
	endings int
}

func newDaemonLife(t *testing.T, rule plan.Restart, lifes []time.Duration, codes ...int) *daemonLife {
	rule.Curve = plan.CurveDaemon
	s := parseScene(t, "daemonagent/a", "fact image:img:1 known sha256:one local\nobject daemonagent/a h1 created", "supervise")
	s.desired.Resources[0].Restart = rule
	return &daemonLife{t: t, d: s.desired, o: s.observed, opts: s.options, began: s.options.Now, lifes: lifes, codes: codes}
}

func at[T any](list []T, i int) T { return list[min(i, len(list)-1)] }

// run has time pass, from wake to wake and end to end.
func (l *daemonLife) run(d time.Duration) plan.Plan {
	l.t.Helper()
	end := l.opts.Now.Add(d)
	for range 10_000 {
		p := plan.New(l.d, l.o, l.opts)
		for _, s := range p.Steps {
			l.do(s)
		}
		if len(p.Steps) > 0 {
			continue
		}
		next, obj := end, &l.o.Objects[0]
		exits := time.Time{}
		if obj.State == plan.StateRunning {
			exits = obj.Started.Add(at(l.lifes, l.endings))
		}
		for _, at := range []time.Time{p.Wake, exits} {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		l.opts.Now = next
		switch {
		case next.Equal(exits):
			l.exit(at(l.codes, l.endings))
		case next.Equal(end):
			return p
		}
	}
	l.t.Fatal("it does not settle")
	return plan.Plan{}
}

func (l *daemonLife) exit(code int) {
	obj := &l.o.Objects[0]
	obj.State, obj.ExitCode, obj.Finished = plan.StateExited, code, l.opts.Now
	l.endings++
}

func (l *daemonLife) do(s plan.Step) {
	obj := &l.o.Objects[0]
	switch s.Op {
	case plan.OpStart:
		obj.State, obj.Started, obj.Finished = plan.StateRunning, l.opts.Now, time.Time{}
		l.starts = append(l.starts, l.opts.Now.Sub(l.began))
	case plan.OpStop:
		l.exit(143)
	case plan.OpRecord:
		rs := l.o.Records.Records[:0]
		for _, r := range l.o.Records.Records {
			if r.ID != s.Record.ID || r.Kind != s.Record.Kind {
				rs = append(rs, r)
			}
		}
		l.o.Records.Records = append(rs, *s.Record)
	case plan.OpPrepare:
	default:
		l.t.Fatalf("%s", s.ID)
	}
}

func TestDaemonsAreRestarted(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		rule   plan.Restart
		lifes  []time.Duration
		codes  []int
		starts string // in seconds
		held   plan.Code
	}{
		"backoff": {plan.Restart{}, []time.Duration{s}, []int{1}, "0 2 5 10 19 36 69 130 191 252", plan.CodeCrashLoop},
		"at once what ran for long": {
			plan.Restart{}, []time.Duration{s, s, 10 * s, s, 9 * s, 100 * s}, []int{0}, "0 2 5 15 17 28 128 228", "",
		},
		"on failure":           {plan.Restart{Policy: plan.RestartOnFailure}, []time.Duration{20 * s}, []int{1, 7, 0}, "0 20 40", plan.CodeFinished},
		"never":                {plan.Restart{Policy: plan.RestartNever}, []time.Duration{s}, []int{1}, "0", plan.CodeFinished},
		"max":                  {plan.Restart{Max: 3}, []time.Duration{20 * s}, []int{0}, "0 20 40 60", plan.CodeRestartLimit},
		"lifetime":             {plan.Restart{Lifetime: 50 * s}, []time.Duration{time.Hour}, []int{0}, "0 50 100 150 200 250 300", ""},
		"lifetime, short":      {plan.Restart{Lifetime: 5 * s}, []time.Duration{time.Hour}, []int{0}, "0 6 13 22 35 56 93 158 223 288", plan.CodeCrashLoop},
		"lifetime, never":      {plan.Restart{Policy: plan.RestartNever, Lifetime: 50 * s}, []time.Duration{time.Hour}, []int{0}, "0", plan.CodeFinished},
		"lifetime, on failure": {plan.Restart{Policy: plan.RestartOnFailure, Lifetime: 50 * s}, []time.Duration{time.Hour}, []int{0}, "0 50 100 150 200 250 300", ""},
		"lifetime, max":        {plan.Restart{Max: 1, Lifetime: 50 * s}, []time.Duration{time.Hour}, []int{0}, "0 50", plan.CodeRestartLimit},
		"exits before":         {plan.Restart{Policy: plan.RestartOnFailure, Lifetime: 50 * s}, []time.Duration{20 * s}, []int{0}, "0", plan.CodeFinished},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newDaemonLife(t, tt.rule, tt.lifes, tt.codes...)
			p := l.run(310 * s)
			var starts []string
			for _, at := range l.starts {
				starts = append(starts, fmt.Sprint(at.Seconds()))
			}
			if diff := cmp.Diff(tt.starts, strings.Join(starts, " ")); diff != "" {
				t.Errorf("starts (-want +got):\n%s", diff)
			}
			var held plan.Code
			for _, c := range p.Held {
				held = c.Reasons[0].Code
			}
			if held != tt.held {
				t.Errorf("held for %q, want %q", held, tt.held)
			}
		})
	}
}

// What is finished is left so, whoever looks next, also after a start of the host,
// which some runtimes answer by making every container as one never started.
func TestFinishedDaemonsStayFinished(t *testing.T) {
	for name, rule := range map[string]plan.Restart{
		"never": {Policy: plan.RestartNever}, "on failure": {Policy: plan.RestartOnFailure}, "always": {},
	} {
		t.Run(name, func(t *testing.T) {
			l := newDaemonLife(t, rule, []time.Duration{time.Minute}, 0)
			l.run(90 * time.Second)
			before := len(l.starts)
			l.o.Objects[0].State, l.o.Objects[0].ExitCode = plan.StateCreated, 0
			l.run(10 * time.Second)
			if again := len(l.starts) > before; again != (name == "always") {
				t.Errorf("started again: %t", again)
			}
			asked := plan.Record{
				ID: l.d.Resources[0].ID, Kind: plan.RecordWish, Key: plan.WishStop, At: l.opts.Now, Data: map[string]string{"wanted": "false"},
			}
			l.o.Records.Records = append(l.o.Records.Records, asked)
			l.opts.Now = l.opts.Now.Add(time.Second)
			l.run(time.Second)
			if l.o.Objects[0].State != plan.StateRunning {
				t.Errorf("it is %s although somebody asked for it to be started", l.o.Objects[0].State)
			}
		})
	}
}

// A single pass has nobody look again: what may go on is started in it.
func TestLifetimeInSinglePasses(t *testing.T) {
	for policy, want := range map[plan.RestartPolicy]string{
		plan.RestartAlways: "prepare record stop start", plan.RestartOnFailure: "stop", plan.RestartNever: "stop",
	} {
		s := parseScene(t, "daemonagent/a", "fact image:img:1 known sha256:one local\nobject daemonagent/a h1 running started=1h", "")
		s.desired.Resources[0].Restart = plan.Restart{Policy: policy, Lifetime: time.Minute, Curve: plan.CurveDaemon}
		var ops []string
		p := plan.New(s.desired, s.observed, s.options)
		for _, st := range p.Steps {
			ops = append(ops, string(st.Op))
		}
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("%s: %s, want %s\n%s", policy, got, want, p)
		}
	}
}

// What was ended for its lifetime is not said to have been killed for want of memory.
func TestLifetimeIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		rule plan.Restart
		life time.Duration // after which it exits by itself with 137
		want string
	}{
		"never":     {plan.Restart{Policy: plan.RestartNever, Lifetime: time.Minute}, time.Hour, "it was ended after 1m, as long as it may run (exit 143) and is never restarted"},
		"max":       {plan.Restart{Max: 1, Lifetime: time.Minute}, time.Hour, "it was ended after 1m, as long as it may run (exit 143) and was restarted 1 times, as often as allowed"},
		"by itself": {plan.Restart{Policy: plan.RestartNever, Lifetime: time.Minute}, time.Second, "it ended with exit 137: killed, possibly out of memory and is never restarted"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newDaemonLife(t, tt.rule, []time.Duration{tt.life}, 137).run(5 * time.Minute)
			if len(p.Held) != 1 || p.Held[0].Reasons[0].Text != tt.want {
				t.Errorf("held %+v, want %q", p.Held, tt.want)
			}
		})
	}
}
