// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"io/fs"
	"time"
)

// GitRequest asks for the files of a git repository.
type GitRequest struct {
	Name      string // of the repo, for messages
	URL       string
	Ref       string // branch, tag or commit; "" = the default branch
	Commit    string // pinned by the lock file; "" = follow Ref
	Depth     int    // 0 = the newest commit only, -1 = all history
	Exec      bool   // use the git binary
	SecretRef string // names the credentials; "" = the host's own
}

// GitResult is what could be had of a GitRequest.
type GitResult struct {
	// Files are those of Commit; nil = nothing can be had. The method
	// Source(dir string) (string, error) names a folder of it by content for
	// plan.Mount.From, and so does that of each fs.Sub of it.
	Files  fs.FS
	Commit string
	// Err says why Files is nil, or why it may not be what the remote has now.
	Err error
	// Since is when the remote was last asked with success; zero = never.
	Since time.Time
	// Pending: the repository was not looked at yet, since it is being fetched or
	// since this command does not use the network. It is nobody's fault.
	Pending bool
	// OffRef: the pinned commit is no longer on its ref.
	OffRef bool
}
