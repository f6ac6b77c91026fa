// SPDX-License-Identifier: Apache-2.0

package schema

// Summaries of the problems that decoding finds. Each has a file in
// testdata/diag.
const (
	// The bytes.
	summarySyntax   = "cannot parse file"
	summaryTooLarge = "file too large"
	summaryEncoding = "invalid UTF-8"
	summaryComplex  = "document too complex"
	summaryControl  = "control character"
	summaryEmpty    = "empty document"
	summaryDupKey   = "duplicate key"
	summaryMerge    = "merge conflict"

	// The kind.
	summaryUnknownKind    = "unknown kind"
	summaryUnknownVersion = "unsupported version"
	summaryUnknownGroup   = "unknown API group"
	summaryNotActedOn     = "kind not acted on"

	// The shape.
	summaryUnknownField = "unknown field"
	summaryWrongType    = "wrong type"
	summaryMissing      = "missing required field"

	// The values.
	summaryInvalid  = "invalid value"
	summaryName     = "invalid name"
	summaryReserved = "reserved name"
	summaryConflict = "conflicting fields"
	summaryRepeated = "given twice"
	summaryNoEffect = "field has no effect"
	summaryInsecure = "insecure value"
)
