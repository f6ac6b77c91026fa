// SPDX-License-Identifier: Apache-2.0

// Package schema is the file formats: bytes in, typed documents with positions
// and diagnostics out. It is the first step of the pipeline and imports nothing
// of ours.
//
// It holds a closed CUE definition of every kind (the *.cue files), the Go
// types they decode into, the decoders for YAML, JSON and users' CUE, the
// grammar of enable entries, and the export as CUE and JSON Schema.
//
// A document passes these stations:
//
//	bytes ─ParseYAML, ParseJSON─▶ Node, as written, with positions
//	      ─unify───────────────▶ Node, one spelling of everything, profile merged
//	      ─check───────────────▶ CUE decides; a Cache skips what it knows
//	      ─explain─────────────▶ JSON Schema says what is wrong, all at once
//	      ─cursor──────────────▶ Go types; rules that need a parser
//
// The kind is chosen first, by apiVersion and kind or by the file's name, and
// the document is checked against that one definition.
//
// DecodeFile reports every problem of a file, sorted, at its line and column,
// without consequences of another one; the same bytes give the same result. No
// input makes it panic, or spend much more memory than the input's size. It has
// no effects: it opens no file and starts no process; the caller hands it bytes
// and names.
//
//	f, ds := schema.DecodeFile("manifest.yaml", src, schema.Options{Kind: schema.KindManifest})
//	if ds.HasErrors() {
//		return ds
//	}
//	m := f.Documents[0].Object.(*schema.Manifest)
package schema
