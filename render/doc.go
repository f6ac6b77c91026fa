// SPDX-License-Identifier: Apache-2.0

// Package render turns one value into bytes: a [Report], which is a plan with
// what belongs to it, into each of the views that a dry run offers, and the
// diagnostics of a workspace into SARIF.
//
// It stands at the end of the pipeline and knows nothing of where its output
// goes: no I/O but the writer that it is given, no clock, no terminal but what
// [Options] say of it. The same report gives the same bytes.
//
// What it promises of every view:
//
//   - All views show the same changes, and count them alike.
//   - Texts of others (names, reasons, values) stay text: control and format
//     characters, commands of CI runners, HTML, Markdown, mentions and links have no
//     effect where the view is read.
//   - No fingerprint of a secret shows; a secret is named.
//
// To print a plan for people:
//
//	err := render.Text(os.Stdout, render.Report{Plan: p, Mode: plan.ModeLive}, render.Options{})
package render
