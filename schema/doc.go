// SPDX-License-Identifier: Apache-2.0

// Package schema is the file formats: bytes in, typed documents with positions
// and diagnostics out.
//
// It holds a closed CUE definition of every kind, the Go types they decode
// into, the decoders for YAML, JSON and CUE, the grammar of enable entries, and
// the JSON Schema export. It has no effects: it reads no file and starts no
// process; the caller hands it bytes and names.
package schema
