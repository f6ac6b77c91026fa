// SPDX-License-Identifier: Apache-2.0

package repos

// dialGit speaks to a remote through the git program.
func (s *Store) dialGit(u URL, src Source) (remote, error) {
	return nil, ErrNoGit
}
