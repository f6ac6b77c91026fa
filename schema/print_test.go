// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
)

func TestCUEStandsAlone(t *testing.T) {
	for _, kind := range Kinds() {
		text, err := CUE(kind)
		if err != nil {
			t.Fatalf("CUE(%s): %v", kind, err)
		}
		v := cuecontext.New(cuecontext.CUE_DEBUG("")).CompileBytes(text)
		if err := v.Err(); err != nil {
			t.Errorf("CUE(%s) does not compile: %v\n%s", kind, err, text)
		}
		if !v.LookupPath(cue.ParsePath("#" + string(kind))).Exists() {
			t.Errorf("CUE(%s) lacks #%s", kind, kind)
		}
	}
	if text, _ := CUE(KindDaemonAgent); strings.Contains(string(text), "#TaskAgent") {
		t.Errorf("CUE(DaemonAgent) holds a definition it does not refer to:\n%s", text)
	}
	if _, err := CUE("Foo"); err == nil {
		t.Error("CUE(Foo): no error")
	}
}
