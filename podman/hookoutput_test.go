// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"reconcile/reconcile/plan"
)

type closer struct{ *bytes.Buffer }

func (closer) Close() error { return nil }

// TestHookOutput: however output is cut into writes, its log and what is quoted of
// it are the same, and steer no terminal.
func TestHookOutput(t *testing.T) {
	for _, tt := range []struct{ name, text, log, said string }{
		{"nothing", "", "", ""},
		{"lines", "a\n\n b\n", "a\n\n b\n", "a\n b"},
		{"no last feed", "a\nb", "a\nb", "a\nb"},
		{"windows", "a\r\nb\r\n", "a\nb\n", "a\nb"},
		{"progress", "1%\r50%\r100%\n", "1%\n50%\n100%\n", "1%\n50%\n100%"},
		{"controls", "\x1b[31mred\x07\x00", `\x1b[31mred\x07\x00`, `\x1b[31mred\x07\x00`},
		{"words", "tür 漢字 🙂\n", "tür 漢字 🙂\n", "tür 漢字 🙂"},
		{"turned round", "abc\u202edef", `abc\u202edef`, `abc\u202edef`},
		{"no text", "a\xff\xc3", "a\ufffd\ufffd", "a\ufffd\ufffd"},
		{"many", strings.Repeat("x\n", 30), strings.Repeat("x\n", 30), strings.TrimSpace(strings.Repeat("x\n", lastLines))},
		{"a long line", strings.Repeat("y", 1000) + "\nz\n", strings.Repeat("y", 1000) + "\nz\n", strings.Repeat("y", quotedLine) + "\nz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 4096} {
				var log bytes.Buffer
				o := &hookOutput{log: closer{&log}}
				for rest := []byte(tt.text); len(rest) > 0; {
					n := min(size, len(rest))
					if _, err := o.Write(rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				said, err := o.close()
				if err != nil || log.String() != tt.log || said != tt.said {
					t.Errorf("in pieces of %d: log %q, said %q, %v; want %q, %q", size, log.String(), said, err, tt.log, tt.said)
				}
			}
		})
	}
}

// TestHookOutputBounds: a hook that floods costs no more than a bound, and a log
// that breaks does not stop it.
func TestHookOutputBounds(t *testing.T) {
	var log bytes.Buffer
	o := &hookOutput{log: closer{&log}}
	for range 3 * hookFlood / 4096 {
		if n, err := o.Write(bytes.Repeat([]byte("z"), 4096)); n != 4096 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := o.close(); err != nil || log.Len() > hookFlood+100 || !strings.HasSuffix(log.String(), "(what follows is cut)\n") {
		t.Errorf("a log of %d bytes, %v", log.Len(), err)
	}
	r, w := io.Pipe()
	full := errors.New("disk full")
	r.CloseWithError(full)
	broken := &hookOutput{log: w}
	if n, err := broken.Write([]byte("abc\n")); n != 4 || err != nil {
		t.Errorf("write: %d, %v", n, err)
	}
	if said, err := broken.close(); said != "abc" || !errors.Is(err, full) {
		t.Errorf("close: %q, %v", said, err)
	}
}

func TestEnded(t *testing.T) {
	for _, tt := range []struct {
		code int
		oom  bool
		want string
	}{
		{1, false, "install failed: exit code 1; it said last:\n  a\n  b"},
		{137, false, "install failed: exit 137: killed, possibly out of memory; it said last:\n  a\n  b"},
		{137, true, "install failed: exit 137: out of memory; it said last:\n  a\n  b"},
	} {
		if got := hookFailed(plan.HookInstall, tt.code, tt.oom, "a\nb").Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
