// SPDX-License-Identifier: Apache-2.0

package helper_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/helper"
)

func TestHookArgs(t *testing.T) {
	for _, h := range []helper.Hook{
		{Name: "install", Shell: []string{"/bin/sh", "-c"}, Commands: []string{"npm install"}},
		{
			Name: "update", Shell: []string{"sh"}, Commands: []string{"", "a\n\"b\"\x01 <&>"},
			Secrets: []string{"TOKEN"}, Limit: 1 << 40, Timeout: 10 * time.Minute,
		},
	} {
		args := h.Args()
		if len(args) != 2 || args[0] != "hook" {
			t.Fatalf("Args = %q", args)
		}
		back, err := helper.ParseHook(args)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h, back); diff != "" {
			t.Errorf("ParseHook (-want +got)\n%s", diff)
		}
	}
}

func TestParseHookRefuses(t *testing.T) {
	const none = "parse hook: it has no name, shell or commands"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, `the arguments are not "hook" and a hook`},
		{[]string{"hook"}, `the arguments are not "hook" and a hook`},
		{[]string{"hook", "{}", "{}"}, `the arguments are not "hook" and a hook`},
		{[]string{"init", "{}"}, `the arguments are not "hook" and a hook`},
		{[]string{"hook", "{}"}, none},
		{[]string{"hook", `{"Name":"a","Shell":["sh"]}`}, none},
		{[]string{"hook", `{"Name":"a","Commands":["b"]}`}, none},
		{[]string{"hook", `{"Shell":["sh"],"Commands":["b"]}`}, none},
		{[]string{"hook", `{"Name":"a","Shell":["sh"],"Commands":["b"],"Limit":-1}`}, none},
		{[]string{"hook", `{"Name":"a","Shell":["sh"],"Commands":["b"],"Timeout":-1}`}, none},
		{[]string{"hook", `{"Name":"a","Shell":["sh"],"Commands":["b"],"What":1}`}, `parse hook: json: unknown field "What"`},
		{[]string{"hook", `{"Name":"a","Shell":["sh"],"Commands":["b"]} x`}, `parse hook: there is something after it: "x"`},
	} {
		_, err := helper.ParseHook(tt.args)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseHook(%q): error %v, want %q", tt.args, err, tt.want)
		}
	}
}

func FuzzParseHook(f *testing.F) {
	f.Add(`{"Name":"a","Shell":["/bin/sh","-c"],"Commands":["b","c"],"Secrets":["D"],"Limit":5,"Timeout":6}`)
	f.Add(`{"Name":"\u0000","Shell":[""],"Commands":[""]}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := helper.ParseHook([]string{"hook", text})
		if err != nil {
			return
		}
		back, err := helper.ParseHook(h.Args())
		if err != nil {
			t.Fatalf("ParseHook(%q): %v", h.Args(), err)
		}
		if diff := cmp.Diff(h.Args(), back.Args()); diff != "" {
			t.Errorf("Args of ParseHook (-want +got)\n%s", diff)
		}
	})
}
