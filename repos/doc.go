// SPDX-License-Identifier: Apache-2.0

// Package repos reads git repositories: a commit by name, and the files of a
// commit as an [fs.FS]. It knows nothing of manifests.
//
// Repositories of this host are opened in place and never written to. What a
// commit holds is read straight from the object store; no work tree is made.
//
//	repo, err := repos.Open("/srv/git/utils.git")
//	if err != nil { ... }
//	commit, err := repo.Commit("v1.2.0")
//	if err != nil { ... }
//	files, err := repo.FS(commit)
//
// A folder of such a file system has a [FS.Source], a text that names its
// content by git's own tree hash; [OpenSource] opens it again later, in another
// process, whatever the branches point to by then.
package repos
