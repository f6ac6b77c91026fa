// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"net"
	"strings"
	"testing"
)

// TestSilentRegistry: a registry that did not answer for one image is not asked
// for the next, since that would wait as long.
func TestSilentRegistry(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close() // nobody listens there now
	r := &Runtime{opt: Options{Digests: new(DigestMemory)}}
	ask := func(ref string) lookup {
		n, err := parseImage(ref)
		if err != nil {
			t.Fatal(err)
		}
		return r.lookUp(t.Context(), n)
	}
	if got := ask(host + "/one:1"); got.err == nil || got.refused {
		t.Fatalf("nobody answers: %+v", got)
	}
	first := r.opt.Digests.silenceOf(host)
	if first == nil {
		t.Fatal("the silence is not remembered")
	}
	got := ask(host + "/two:1")
	if got.err == nil || got.refused || !strings.Contains(got.err.Error(), "two:1") || !strings.Contains(got.err.Error(), first.Error()) {
		t.Errorf("second image: %+v, want the first one's cause under its own name", got)
	}
}
