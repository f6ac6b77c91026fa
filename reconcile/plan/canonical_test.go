// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestFieldOrder: the JSON of a spec is canonical only while the fields of its
// types stand in the order of their names.
func TestFieldOrder(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var check func(typ reflect.Type)
	check = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		var names []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" || name == "-" {
				t.Errorf("%s.%s has no JSON name: every field of a spec counts", typ, typ.Field(i).Name)
			}
			names = append(names, name)
			check(typ.Field(i).Type)
		}
		if !slices.IsSorted(names) {
			t.Errorf("the fields of %s are not in the order of their JSON names: %v", typ, names)
		}
	}
	check(reflect.TypeFor[Spec]())
	if len(seen) < 8 {
		t.Errorf("only %d types were reached", len(seen))
	}
}
