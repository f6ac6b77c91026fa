// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"reconcile/reconcile/plan"
)

// runKey is the key of a run, see plan.Run: what its folder is named.
var runKey = regexp.MustCompile(`^[0-9a-f]{1,20}(\.[1-9][0-9]{0,8})?$`)

// What is in the folder of a run, beside its log.
const (
	madeFile  = "made"  // that the folder is complete, and of what it was made
	filesDir  = "files" // a file or folder for each mount of files
	emptyDir  = "empty" // the files of secrets that are empty
	taskDir   = "task"  // where the helper writes how the command ended
	targetLen = 12      // digits of the hash of a target that name what is mounted there
)

// account is whom files belong to, as numbers of the container.
type account struct{ uid, gid int }

// onHost is the account for this host's chown. Only root can give files away. To a
// container of ours without root rights, this user is its root.
func (a account) onHost() account {
	if os.Geteuid() != 0 {
		return account{-1, -1}
	}
	return a
}

// runFolder is the folder of one run on this host.
type runFolder struct {
	dir string
	own account
}

// runFolderOf is where the folder of a run is; nil = the container is no run.
func (r *Runtime) runFolderOf(s plan.Step, c plan.ContainerSpec, own account) (*runFolder, error) {
	switch {
	case c.Task == nil:
		return nil, nil //nolint:nilnil // none is an answer
	case !runKey.MatchString(s.Run):
		return nil, fmt.Errorf("%q is no key of a run", s.Run)
	}
	dir := filepath.Join(c.Task.Dir, s.Run)
	if !r.isRun(dir) {
		return nil, fmt.Errorf("the folder of the run, %s, is not below the state directory", dir)
	}
	return &runFolder{dir: dir, own: own}, nil
}

// isRun reports whether a path can be the folder of a run of ours.
func (r *Runtime) isRun(path string) bool {
	below, err := filepath.Rel(r.opt.StateDir, path)
	return err == nil && filepath.IsAbs(path) && filepath.IsAbs(r.opt.StateDir) && filepath.IsLocal(below) &&
		filepath.Clean(path) == path && runKey.MatchString(filepath.Base(path))
}

// made says of what a folder was made. A folder that was made before this host was
// started may have lost what was not on disk yet.
type made struct {
	Digest string `json:"digest"`
	Boot   string `json:"boot,omitempty"`
}

// madeOf is what the folder of a run is to be made of.
func madeOf(s plan.Step, c plan.ContainerSpec, own account) (made, error) {
	var files []plan.Mount
	for _, m := range c.Mounts {
		if m.Type == plan.MountFiles {
			files = append(files, m)
		}
	}
	b, err := json.Marshal(struct {
		Of, Run  string
		UID, GID int
		Mounts   []plan.Mount
	}{s.Target.String(), s.Run, own.uid, own.gid, files})
	if err != nil {
		return made{}, err
	}
	sum := sha256.Sum256(b)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // where there is none, nothing is told by it
	}
	return made{Digest: hex.EncodeToString(sum[:]), Boot: strings.TrimSpace(string(boot))}, nil
}

// makeRun makes the folder of a run, unless it is there. Started: the container
// that has it was started, so that what is there is its own.
func (r *Runtime) makeRun(ctx context.Context, x runMaking) error {
	unlock, err := r.folders.lock(ctx, filepath.Dir(x.dir))
	if err != nil {
		return err
	}
	defer unlock()
	want, err := madeOf(x.s, x.c, x.own)
	if err != nil {
		return err
	}
	have, complete, err := readMade(x.dir)
	switch {
	case err != nil:
		return err
	case complete && (have == want || x.started):
		return nil
	case complete && have.Digest != want.Digest:
		if err := r.unused(ctx, x.dir); err != nil {
			return err
		}
	}
	return x.make(r, want)
}

// readMade reports whether the folder of a run is complete.
func readMade(dir string) (m made, complete bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, madeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return made{}, false, nil
	}
	if err != nil {
		return made{}, false, err
	}
	// What says nothing was written as the host went down.
	return m, json.Unmarshal(b, &m) == nil, nil
}

// runMaking is the folder of a run at work.
type runMaking struct {
	*runFolder
	s       plan.Step
	d       plan.Desired
	c       plan.ContainerSpec
	started bool
}

// make makes the folder beside its place and renames it, so that what has the name
// is complete.
func (x runMaking) make(r *Runtime, m made) error {
	dir, key := filepath.Split(x.dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	prefix := unfinishedRun(key)
	if err := removeStale(dir, prefix); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, prefix) // for this user alone
	if err != nil {
		return err
	}
	err = x.fill(r, tmp, m)
	if err == nil {
		// What has the name is half of a run, or of one that never was.
		err = errors.Join(os.RemoveAll(x.dir), os.Rename(tmp, x.dir))
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(tmp))
		_ = os.Remove(dir) // which other runs may be in
		return err
	}
	return nil
}

// unfinishedRun begins the name of a folder that is not complete.
func unfinishedRun(key string) string { return "." + key + ".tmp-" }

// fill makes what is in the folder of a run.
func (x runMaking) fill(r *Runtime, dir string, m made) error {
	for _, name := range []string{filesDir, emptyDir} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := x.makeDir(filepath.Join(dir, taskDir)); err != nil {
		return err
	}
	for _, mount := range x.c.Mounts {
		if mount.Type != plan.MountFiles {
			continue
		}
		if err := x.makeFiles(r, filepath.Join(dir, filesDir, targetName(mount.Target)), mount); err != nil {
			return fmt.Errorf("mount %s: %w", mount.Target, err)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, madeFile), b, 0o600)
}

func (x runMaking) makeDir(path string) error {
	own := x.own.onHost()
	return errors.Join(os.Mkdir(path, 0o755), os.Chmod(path, 0o755), os.Lchown(path, own.uid, own.gid))
}

// targetName is what is mounted at a target called in the folder of its run.
func targetName(target string) string {
	sum := sha256.Sum256([]byte(target))
	return hex.EncodeToString(sum[:])[:targetLen]
}
