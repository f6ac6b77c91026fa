// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strings"
)

// nearest is the option that s was most likely meant to be, "" when none is
// close. Options earlier in the list win ties.
func nearest(s string, options []string) string {
	low := strings.ToLower(s)
	best, bound := "", max(1, len(s)/3)+1
	for _, o := range options {
		if d := EditDistance(low, strings.ToLower(o), bound); d < bound {
			best, bound = o, d
		}
	}
	if best != "" || len(s) < 4 {
		return best
	}
	for _, o := range options {
		if len(o) >= 4 && (strings.Contains(strings.ToLower(o), low) || strings.Contains(low, strings.ToLower(o))) {
			return o
		}
	}
	return ""
}

// EditDistance counts insertions, deletions, replacements and swaps of
// neighbours; anything from limit on is returned as limit.
func EditDistance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit)
}

// didYouMean is a hint, "" when nothing is close.
func didYouMean(s string, options []string) string {
	if near := nearest(s, options); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
