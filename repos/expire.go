// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/gofrs/flock"
)

const (
	// unused is after how long a mirror that nobody asked for is removed.
	unused = 30 * 24 * time.Hour
	// expireEvery is how often a store looks for such mirrors.
	expireEvery = time.Hour
	day         = 24 * time.Hour
)

var (
	folderName = regexp.MustCompile(`^[0-9a-f]{24}$`)
	className  = regexp.MustCompile(`^(go|git)-([1-9][0-9]*|full)$`)
)

// touch notes that the mirror is in use, once a day.
func (m *mirror) touch() {
	if m.s.opt.ReadOnly {
		return
	}
	file, now := filepath.Join(m.dir, "used"), m.s.now()
	info, err := os.Stat(file)
	if err == nil && now.Sub(info.ModTime()) < day {
		return
	}
	if err != nil {
		err = os.WriteFile(file, nil, 0o600)
	}
	if err = errors.Join(err, os.Chtimes(file, now, now)); err != nil {
		m.s.log.Warn("use of a mirror is not noted", "url", m.u.String(), "err", err)
	}
}

// expire removes mirrors that were not used for long. Only folders that a store
// makes are looked at.
func (s *Store) expire() {
	if s.opt.ReadOnly {
		return
	}
	s.mu.Lock()
	due := s.now().Sub(s.expired) >= expireEvery
	if due {
		s.expired = s.now()
	}
	s.mu.Unlock()
	if !due {
		return
	}
	for _, folder := range s.names(s.opt.Dir, folderName) {
		for _, dir := range s.names(folder, className) {
			if !s.old(dir) {
				continue
			}
			if err := s.discard(dir); err != nil {
				s.log.Warn("unused mirror is not removed", "dir", dir, "err", err)
			}
		}
	}
}

func (s *Store) names(dir string, pattern *regexp.Regexp) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // not made yet, or fetching says so
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() && pattern.MatchString(e.Name()) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

// old: a mirror whose use was never noted is not.
func (s *Store) old(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "used"))
	return err == nil && s.now().Sub(info.ModTime()) > unused
}

// discard empties a mirror, unless somebody is at work on it. Its lock stays, so
// that there is only ever one.
func (s *Store) discard(dir string) (err error) {
	l := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	locked, err := l.TryLock()
	if err != nil || !locked {
		return err
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	if !s.old(dir) {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	// First what leads to the rest, so that no reader finds half of it.
	if err := os.Remove(filepath.Join(dir, "state.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
