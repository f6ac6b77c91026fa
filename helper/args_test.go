// SPDX-License-Identifier: Apache-2.0

package helper_test

import (
	"slices"
	"strings"
	"testing"

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
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		c, err := helper.ParseArgs(args)
		if err != nil {
			return
		}
		if got := c.Args(); !slices.Equal(got, args) {
			t.Errorf("Args = %q, want %q", got, args)
		}
	})
}
