// SPDX-License-Identifier: Apache-2.0

package render

import "github.com/aymanbagabas/go-udiff"

// FileDiff is the unified difference of a file before and after; a before that is
// "" is no file yet. What is shown of it is not safe to print.
func FileDiff(name, before, after string) string {
	from := "a/" + name
	if before == "" {
		from = "/dev/null"
	}
	return udiff.Unified(from, "b/"+name, before, after)
}
