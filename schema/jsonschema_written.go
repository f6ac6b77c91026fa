// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	_ "embed"
)

var (
	//go:embed plan.schema.json
	planSchema []byte
	//go:embed lock.schema.json
	lockSchema []byte
)

// PlanJSONSchema returns the JSON Schema (draft 2020-12) of the plan's JSON
// form, with the closed list of reason codes. It is written by hand, since the
// plan is not a file format: it describes what is printed, not what is read.
func PlanJSONSchema() []byte { return bytes.Clone(planSchema) }

// LockJSONSchema returns the JSON Schema (draft 2020-12) of a lock file. It is
// written by hand, since [DecodeLock] reads that without CUE.
func LockJSONSchema() []byte { return bytes.Clone(lockSchema) }
