// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	_ "embed"
)

//go:embed plan.schema.json
var planSchema []byte

// PlanJSONSchema returns the JSON Schema (draft 2020-12) of the plan's JSON
// form, with the closed list of reason codes. It is written by hand, since the
// plan is not a file format: it describes what is printed, not what is read.
func PlanJSONSchema() []byte { return bytes.Clone(planSchema) }
