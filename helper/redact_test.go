// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	const secret = "s3cr<t/p ss\"word+ünique"
	long := strings.Repeat("long-secret-value-", 9) + "end"
	std := base64.StdEncoding
	quote, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		values []string
		in     string
		want   string
	}{
		"nothing to hide":      {nil, "a plain line\n", "a plain line\n"},
		"as it is":             {[]string{secret}, "<" + secret + ">", "<[redacted]>"},
		"twice":                {[]string{secret}, secret + secret, "[redacted][redacted]"},
		"in a query":           {[]string{secret}, "?a=" + url.QueryEscape(secret) + "&b", "?a=[redacted]&b"},
		"in a path":            {[]string{secret}, "/" + url.PathEscape(secret) + "/", "/[redacted]/"},
		"small escapes":        {[]string{secret}, lowerEscapes(url.QueryEscape(secret)), "[redacted]"},
		"in JSON":              {[]string{secret}, string(quote), `"[redacted]"`},
		"the longer wins":      {[]string{"abcd", "abcdef"}, "abcd abcdef abcde", "[redacted] [redacted] [redacted]e"},
		"begins of a value":    {[]string{"abcdef"}, "ab abc abcdeabcdef abcde", "ab abc abcde[redacted] abcde"},
		"too short to hide":    {[]string{"abc", ""}, "abc", "abc"},
		"a newline at its end": {[]string{"value\n"}, "value value\n", "[redacted] [redacted]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(tt.in); size++ {
				if got := redact(t, tt.values, tt.in, size); got != tt.want {
					t.Fatalf("in pieces of %d: got %q, want %q", size, got, tt.want)
				}
			}
		})
	}
	t.Run("base64", func(t *testing.T) {
		for _, value := range []string{secret, long} {
			for _, before := range []string{"", "u", "u:", "user:"} {
				text := std.EncodeToString([]byte(before + value + "\n"))
				for _, in := range []string{text, strings.NewReplacer("+", "-", "/", "_").Replace(text)} {
					got := redact(t, []string{value}, "x "+in+" y", 7)
					if rest := strings.ReplaceAll(got, Redacted, ""); len(rest) > len("x  y")+len(before)*2+8 {
						t.Errorf("%q after %q: got %q", value, before, got)
					}
				}
			}
		}
	})
	t.Run("base64 in lines", func(t *testing.T) {
		text := wrapped(std.EncodeToString([]byte(long + "\n")))
		if got := redact(t, []string{long}, text, 5); len(got) > len(Redacted)+8 {
			t.Errorf("got %q", got)
		}
	})
}

func redact(t *testing.T, values []string, in string, size int) string {
	t.Helper()
	var out bytes.Buffer
	r := NewRedactor(&out, values)
	for b := []byte(in); len(b) > 0; {
		n, err := r.Write(b[:min(size, len(b))])
		if err != nil || n != min(size, len(b)) {
			t.Fatal(n, err)
		}
		b = b[n:]
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What cannot be the begin of a value is passed on at once: somebody looks on.
func TestRedactorHoldsNoLineBack(t *testing.T) {
	var out bytes.Buffer
	r := NewRedactor(&out, []string{"password"})
	if _, err := r.Write([]byte("step 1 done\npass")); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "step 1 done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestRedactorTellsOfAWriterThatFails(t *testing.T) {
	r := NewRedactor(brokenWriter{}, []string{"password"})
	for range 2 {
		if _, err := r.Write([]byte("text")); err == nil {
			t.Error("the error is lost")
		}
	}
}

func BenchmarkRedactor(b *testing.B) {
	line := bytes.Repeat([]byte("some line of output of a package manager, 64 bytes long or so\n"), 512)
	r := NewRedactor(discard{}, []string{"correct-horse-battery-staple", "another secret value"})
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := r.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
