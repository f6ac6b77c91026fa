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
// content by git's own tree hash; [Store.OpenSource] opens it again later, in
// another process, whatever the branches point to by then.
//
// # Mirrors
//
// A [Store] has copies of remote repositories, shared by all processes of a
// host. [Store.Fetch] brings them up to date and says what could be had of each
// source; the last good commit stays when a remote is down, lost its branch or was
// forced elsewhere. One writer at a time has a mirror, by a lock on a file;
// readers need no lock. A mirror is thrown away and cloned afresh, beside the old
// one, when it cannot be read, when a killed process left it so, and after 50
// fetches; one that nobody asked for in 30 days is removed.
//
//	store := repos.NewStore(repos.StoreOptions{Dir: "/var/lib/reconcile/mirrors"})
//	defer store.Close()
//	for _, got := range store.Fetch(ctx, sources) {
//		if got.Commit == "" { ... got.Err says why; got.Since, how old a copy is }
//	}
//
// Submodules are folders of the commit that has them, and a commit counts as had
// when they are; a source with NoModules has empty folders instead. Their credentials are those of their own host.
//
// # Credentials
//
// Nobody is ever asked. http and https take a login from a file in the format of
// git-credential-store, or from a [Secret]: user and password, or a token, which is sent
// as the password of the user x-access-token (GitHub and GitLab take any name,
// Gitea and Forgejo look at the password first). ssh takes a key from a secret,
// else the one key file that is named, else those of the agent and ~/.ssh/id_*;
// ~/.ssh/config is not read. The server's key must be in a known_hosts file.
// Files with secrets that others may read are refused, and so are URLs with
// credentials in them.
//
// # What go-git lacks, and what is done about it
//
// go-git v5 gives the protocol, the formats and the object store. Mended are:
//
//   - It speaks to file:// by the git program; such repositories are opened in
//     place, and read again when somebody packs them meanwhile.
//   - Its Remote finds transports in a variable of the process, lists references
//     once more for each fetch, and writes references under readers. Here one
//     listing answers for all sources of a repository, its session also brings
//     the pack, and mirrors have no references: state.json says what is what.
//   - A fetch without a depth moves a shallow repository to commits whose files
//     it never gets. Every fetch of a mirror has the depth of that mirror.
//   - It takes no thin packs, without which a server sends all files of a shallow
//     repository again for each commit. They are completed before it sees them.
//   - It cannot repack, and every pack slows every look-up: hence the new clone
//     after 50.
//   - It goes on indexing when the context is over: that is checked afterwards,
//     and a pack has a limit of bytes.
//   - Its ssh transport waits for ever for a server that stalls in the handshake,
//     and reads parts of ~/.ssh/config. Ours is 200 lines over x/crypto/ssh.
//   - A pack it could not index stays as tmp_pack_*, and one that it could is not
//     on the disk yet: the first are swept away, the second synced.
//   - Readers may miss an object while a pack arrives: they look again with the
//     repository opened anew.
//   - Its errors carry the server's own text, and lose the status on the way: the
//     status is noted by the transport, and messages are ours.
//
// Not mended, since the git program (see below) does it: protocol v2 and partial
// clones, LFS, Azure DevOps (which demands multi_ack), and repositories with
// SHA-256.
//
// # Signatures and checkouts
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
// too large for go-git's memory. It is started without a shell around it, reads
// nobody's configuration, never asks, and is ended with all that it started when the time
// is over. Credentials are neither in arguments nor in the environment: those of
// http come from a file without a name that it inherits, and count for their host
// alone; a private key stays in this process, which is ssh's agent. What LFS
// keeps is asked for at the repository's own address; a .lfsconfig is not
// followed.
//
// A file in LFS whose content is not here is an error to read, never its pointer.
package repos
