// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMiddle(t *testing.T) {
	for _, tt := range []struct {
		name string
		max  int64
		in   string
		want string
	}{
		{"nothing", 10, "", ""},
		{"no limit", 0, strings.Repeat("x", 1000), strings.Repeat("x", 1000)},
		{"as long as allowed", 10, "0123456789", "0123456789"},
		{"one more", 10, "0123456789a", "01234\n[1 bytes left out]\n6789a"},
		{"a line ends at the cut", 10, "0123\nxxxxxx56789", "0123\n[6 bytes left out]\n56789"},
		{"odd", 5, "0123456789", "01\n[5 bytes left out]\n789"},
		{"the least", 1, "0123456789", "[9 bytes left out]\n9"},
		{"in a character", 8, "0123xxxxü567", "0123\n[6 bytes left out]\n567"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 {
				var out bytes.Buffer
				m := &middle{to: &out, max: tt.max}
				for rest := []byte(tt.in); len(rest) > 0; {
					n := 1 + rand.IntN(len(rest))
					if got, err := m.Write(rest[:n]); got != n || err != nil {
						t.Fatalf("Write: %d, %v", got, err)
					}
					rest = rest[n:]
				}
				m.Close()
				if out.String() != tt.want {
					t.Fatalf("got %q, want %q", out.String(), tt.want)
				}
			}
		})
	}
}

// However much comes, only so much is kept.
func TestMiddleIsBounded(t *testing.T) {
	var out bytes.Buffer
	m := &middle{to: &out, max: 1000}
	total := 0
	for i := range 10_000 {
		n, _ := fmt.Fprintf(m, "line %d\n", i)
		total += n
		if cap(m.tail) > 4000 {
			t.Fatalf("%d bytes are kept", cap(m.tail))
		}
	}
	m.Close()
	line := fmt.Sprintf("[%d bytes left out]\n", total-1000)
	if !strings.Contains(out.String(), line) || out.Len() > 1000+len(line)+1 || !strings.HasSuffix(out.String(), "line 9999\n") {
		t.Errorf("%d bytes came out, without %q or the end", out.Len(), line)
	}
}
