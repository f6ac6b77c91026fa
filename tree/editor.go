// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"path"
	"strings"
)

// OfEditor reports whether a file is one that editors make beside a file that
// is edited or saved: swap files, locks, backups. They come and go without
// anything being changed.
func OfEditor(name string) bool {
	switch {
	case name == "4913", // vim tries whether it can write
		len(name) > 1 && strings.HasSuffix(name, "~"),
		strings.HasPrefix(name, ".#"), // of Emacs, a link that leads nowhere
		len(name) > 2 && strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"),
		strings.HasPrefix(name, ".goutputstream-"):
		return true
	}
	ext := path.Ext(name)
	return strings.HasPrefix(name, ".") && len(ext) == 4 && ext[:3] == ".sw" // of vim
}
