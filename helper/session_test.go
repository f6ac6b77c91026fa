// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSessionArgs(t *testing.T) {
	for _, want := range []Session{
		{Name: "a1", Command: []string{"sh"}},
		{Name: "a1", Command: []string{"--", "session", ""}},
	} {
		got, err := ParseSession(want.Args())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
		if name, err := ParseLeash(want.LeashArgs()); err != nil || name != want.Name {
			t.Errorf("leash: %q %v", name, err)
		}
	}
	for _, args := range [][]string{nil, {"session"}, {"session", "a", "--"}, {"session", "", "--", "x"}, {"session", "a", "x", "y"}, {"init", "a", "--", "x"}} {
		if s, err := ParseSession(args); err == nil {
			t.Errorf("%q is %+v", args, s)
		}
	}
	for _, args := range [][]string{nil, {"leash"}, {"leash", ""}, {"leash", "a", "b"}, {"hook", "a"}} {
		if s, err := ParseLeash(args); err == nil {
			t.Errorf("%q is %+v", args, s)
		}
	}
}
