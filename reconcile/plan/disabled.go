// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

const disabledKey = "disabled"

// Disabled is the record that somebody has disabled id, or, when not gone, has
// enabled it again. What was made before it may go however much goes with it.
func Disabled(id ID, gone bool, at time.Time) Record {
	data := map[string]string{disabledKey: "false"}
	if gone {
		data[disabledKey] = "true"
	}
	return Record{ID: id, Kind: RecordDisabled, At: at, Data: data}
}

// DisabledHere reports whether somebody has disabled id and not enabled it again.
func DisabledHere(rs Records, id ID) bool {
	for _, r := range rs.Records {
		if r.Kind == RecordDisabled && r.ID.Canonical() == id.Canonical() {
			return r.Data[disabledKey] == "true"
		}
	}
	return false
}

// disabled reports whether somebody has disabled id since its objects were made.
func (v *view) disabled(id ID) bool {
	rec := v.records[recordKey{id, RecordDisabled}]
	if rec.Data[disabledKey] != "true" {
		return false
	}
	for _, o := range v.objects[id] {
		if o.Created.After(rec.At) {
			return false
		}
	}
	return true
}
