// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"io/fs"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// gitContent is what a Git context holds: a folder, or one file.
type gitContent struct {
	Files fs.FS // a folder, without .git; nil = it is a file
	// From and TreeHash name the folder by its content, as in [plan.File].
	From, TreeHash string
	Name           string // of the file
	Content        []byte
}

// gitContext returns what a Git context at pos, the place of its block or of the
// reference to it, holds, or why that cannot be had. The reason has been reported.
func (t *Tree) gitContext(src *schema.GitSource, pos schema.Pos) (gitContent, *plan.Reason) {
	reason := t.report.block(pos, plan.CodePending, summaryRepo, "", "%s is not there", safeURL(src.Repository.V))
	return gitContent{}, &reason
}
