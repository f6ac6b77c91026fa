// SPDX-License-Identifier: Apache-2.0

package helper_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/helper"
)

func TestArgs(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    helper.Config
		want []string
	}{
		{"default supervisor", helper.Config{}, []string{"init", "--"}},
		{"main", helper.Config{Main: []string{"node", "server.js"}}, []string{"init", "--", "node", "server.js"}},
		{
			"main and beside",
			helper.Config{Main: []string{"a"}, Beside: []string{"/bin/sh", "-lc", "b | c"}},
			[]string{"init", "--beside", "3", "/bin/sh", "-lc", "b | c", "--", "a"},
		},
		{"beside the default supervisor", helper.Config{Beside: []string{"x"}}, []string{"init", "--beside", "1", "x", "--"}},
		{
			"words of ours in words of theirs",
			helper.Config{Main: []string{"--", "--beside", "9", "init", ""}, Beside: []string{"--", "", "--beside"}},
			[]string{"init", "--beside", "3", "--", "", "--beside", "--", "--", "--beside", "9", "init", ""},
		},
		{
			"probes",
			helper.Config{
				Main:      []string{"a"},
				Liveness:  &helper.Probe{Script: "live.sh", Interval: time.Second, Timeout: 5 * time.Second, FailureThreshold: 5, SuccessThreshold: 1},
				Readiness: &helper.Probe{Script: "it's ready", Interval: 1, Timeout: 2, InitialDelay: 3, FailureThreshold: 4, SuccessThreshold: 5},
				Secrets:   []string{"TOKEN", "--"},
			},
			[]string{
				"init",
				"--liveness", `{"script":"live.sh","interval":1000000000,"timeout":5000000000,"failureThreshold":5,"successThreshold":1}`,
				"--readiness", `{"script":"it's ready","interval":1,"timeout":2,"initialDelay":3,"failureThreshold":4,"successThreshold":5}`,
				"--secrets", "2", "TOKEN", "--",
				"--", "a",
			},
		},
		{
			"task",
			helper.Config{Main: []string{"a", "--task"}, Task: &helper.Task{KeepAlive: time.Hour, Timeout: time.Second}, Secrets: []string{"T"}},
			[]string{"init", "--task", `{"keepAlive":3600000000000,"timeout":1000000000}`, "--secrets", "1", "T", "--", "a", "--task"},
		},
		{"task without limits", helper.Config{Main: []string{"a"}, Task: &helper.Task{}}, []string{"init", "--task", "{}", "--", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.c.Args()
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Args (-want +got)\n%s", diff)
			}
			back, err := helper.ParseArgs(got)
			if err != nil {
				t.Fatalf("ParseArgs: %v", err)
			}
			if diff := cmp.Diff(tt.c, back); diff != "" {
				t.Errorf("ParseArgs (-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseArgsRefuses(t *testing.T) {
	const probe = `{"script":"p.sh","interval":1,"timeout":1,"failureThreshold":5,"successThreshold":1}`
	for _, tt := range []struct {
		args string // space separated
		want string
	}{
		{"", `the first argument is not "init"`},
		{"serve", `the first argument is not "init"`},
		{"init", `"--" is missing`},
		{"init node", `unknown argument "node"`},
		{"init --beside", "--beside: the number of arguments is missing"},
		{"init --beside x --", `--beside: "x" is not a number of arguments`},
		{"init --beside 0 --", `--beside: "0" is not a number of arguments`},
		{"init --beside 01 a --", `--beside: "01" is not a number of arguments`},
		{"init --beside 2 a", "--beside: 2 arguments announced, 1 given"},
		{"init --beside 2 a --", `"--" is missing`},
		{"init --beside 1 a --beside 1 b --", "--beside is given twice"},
		{"init --secrets 1 A --secrets 1 B --", "--secrets is given twice"},
		{"init --liveness", "--liveness is given twice, or without a probe"},
		{"init --liveness x --", "--liveness: parse probe: invalid character 'x' looking for beginning of value"},
		{"init --liveness {} --", "--liveness: parse probe: {} is none"},
		{"init --liveness " + probe + " --liveness " + probe + " --", "--liveness is given twice, or without a probe"},
		{"init --liveness " + probe + "{} --", `--liveness: parse probe: there is something after it: "{}"`},
		{"init --readiness " + strings.Replace(probe, "p.sh", "../p.sh", 1) + " --", "--readiness: parse probe: " + strings.Replace(probe, "p.sh", "../p.sh", 1) + " is none"},
		{"init --readiness " + strings.Replace(probe, "5", "0", 1) + " --", "--readiness: parse probe: " + strings.Replace(probe, "5", "0", 1) + " is none"},
		{"init --task", "--task is given twice, or without a task"},
		{"init --task {} --task {} -- a", "--task is given twice, or without a task"},
		{"init --task x -- a", "--task: x is none"},
		{`init --task {"timeout":-1} -- a`, `--task: {"timeout":-1} is none`},
		{`init --task {"keepAlive":-1} -- a`, `--task: {"keepAlive":-1} is none`},
		{`init --task {"retries":1} -- a`, `--task: {"retries":1} is none`},
		{"init --task {} --beside 1 b -- a", "--task is given with something that runs beside it"},
		{"init --liveness " + probe + " --task {} -- a", "--task is given with something that runs beside it"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			_, err := helper.ParseArgs(strings.Fields(tt.args))
			if err == nil || err.Error() != tt.want {
				t.Errorf("ParseArgs: error %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParseArgs(f *testing.F) {
	f.Add("init\x00--beside\x001\x00a\x00--\x00b")
	f.Add("init\x00--")
	f.Add("init\x00--task\x00{\"timeout\":1}\x00--\x00a")
	f.Add("init\x00--liveness\x00{\"script\":\"a\",\"interval\":1,\"timeout\":1,\"failureThreshold\":1,\"successThreshold\":1}\x00--secrets\x001\x00A\x00--")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		c, err := helper.ParseArgs(args)
		if err != nil {
			return
		}
		got := c.Args()
		back, err := helper.ParseArgs(got)
		if err != nil {
			t.Fatalf("ParseArgs(%q): %v", got, err)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Errorf("ParseArgs of Args %q (-want +got)\n%s", got, diff)
		}
		// Without JSON there is but one way to say it.
		if c.Liveness == nil && c.Readiness == nil && c.Task == nil && c.Secrets == nil && !slices.Equal(got, args) {
			t.Errorf("Args = %q, want %q", got, args)
		}
	})
}
