// SPDX-License-Identifier: Apache-2.0

// Package repostest gives tests git servers of their own: smart HTTP by `git
// http-backend`, and a real sshd, each over a temporary folder of bare
// repositories, which the real git client fills. What a server should do wrong
// can be switched at run time.
//
//	srv := repostest.HTTP(t, repostest.HTTPOptions{})
//	repo := srv.Repo(t, "utils")
//	first := repo.Commit(t, repostest.Commit{Files: map[string]string{"README": "hi\n"}})
//	... ask repo.URL ...
//	srv.Break(repostest.Fault{Status: 500})
//
// It needs git, and for [SSH] Debian's openssh-server; a test that cannot have
// them fails. Nothing reads the configuration of the user or of the host.
package repostest
