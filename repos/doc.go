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
//
// [Store.Verify] says who signed a commit: OpenPGP and ssh keys count that are in
// files of the operator's. The signature is checked over the bytes that git
// hashes; go-git would write the commit anew, and knows no ssh signatures.
//
// [Checkout] gives a folder that agents mount the files of a commit, and leaves
// alone what they have done there. [OpenReceived] reads a push before it is
// accepted.
//
// # The git program
//
// A source with Exec is fetched by the git program, which has to be 2.29 or
// newer. It serves what go-git cannot: files in Git LFS (with git-lfs), histories
// without the files of old commits (partial clones), and repositories that are
// too large for go-git's memory. It is started without a shell, reads nobody's
// configuration, never asks, and is ended with all that it started when the time
// is over. Credentials are neither in arguments nor in the environment: those of
// http come from a file without a name that it inherits, and count for their host
// alone; a private key stays in this process, which is ssh's agent. What LFS
// keeps is asked for at the repository's own address; a .lfsconfig is not
// followed.
//
// A file in LFS whose content is not here is an error to read, never its pointer.
package repos
