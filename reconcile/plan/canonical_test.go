// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestCanonicalJSON holds the sorter to what encoding/json makes of the same
// value as maps, whose keys it sorts itself.
func TestCanonicalJSON(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune(`ab"\{}[],:<>& é` + "\n\x01")))
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		scalars := []*rapid.Generator[any]{
			text.AsAny(), rapid.Int().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		}
		if depth == 0 {
			return rapid.OneOf(scalars...)
		}
		return rapid.OneOf(append(scalars,
			rapid.SliceOfN(value(depth-1), 0, 4).AsAny(),
			rapid.MapOfN(text, value(depth-1), 0, 4).AsAny(),
		)...)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		// A struct gives its fields in the order of their declaration.
		got, err := canonicalJSON(struct {
			Z any `json:"z"`
			A any `json:"a"`
		}{v, v})
		if err != nil {
			t.Fatal(err)
		}
		w := bytes.TrimSuffix(want.Bytes(), []byte("\n"))
		if full := `{"a":` + string(w) + `,"z":` + string(w) + `}`; string(got) != full {
			t.Fatalf("got  %s\nwant %s", got, full)
		}
	})
}
