// SPDX-License-Identifier: Apache-2.0

package reconciletest

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"reconcile/reconcile/plan"
)

// Commands of runs, beside that which ends at once: forCommand ends with the code
// in its third word after the time in its second; sayCommand writes the value of the
// variable in its second to the log, and ends well.
const (
	forCommand = "for"
	sayCommand = "say"
)

// codeTimeout is the code of a run that took too long.
const codeTimeout = 124

// folderKey names what is on the host of a run.
type folderKey struct{ workspace, id, run string }

// folder is what is on the host of a run, for as long as it is kept.
type folder struct {
	dir     string // its path
	log     string
	outcome *plan.Outcome
}

// life is what a container has that is a run.
type life struct {
	name  string // of the run
	files map[string]Seen
	host  *folder
}

// makeRun makes what a run finds in its container, and its folder on the host. The
// lock is held, as in all that follows.
func (rt *Runtime) makeRun(th *thing, s plan.Step, d plan.Desired) error {
	c := th.spec.Container
	if c == nil || c.Task == nil || c.Task.Dir == "" || s.RunName == "" {
		return fmt.Errorf("%s cannot be run", s.Target)
	}
	uid, gid := owner(c.User)
	l := &life{name: s.RunName, files: map[string]Seen{}, host: &folder{dir: path.Join(c.Task.Dir, s.Run)}}
	for _, m := range c.Mounts {
		for _, f := range m.Files {
			b, known := d.Contents[f.Digest]
			if f.Digest != "" && !known {
				return fmt.Errorf("the content of %s is not known", path.Join(m.Target, f.Path))
			}
			seen := Seen{Content: string(b), Mode: fs.FileMode(cmp.Or(f.Mode, 0o644)), UID: uid, GID: gid}
			if f.Digest == "" {
				seen = Seen{Mode: fs.ModeDir | 0o755, UID: uid, GID: gid}
			}
			name := path.Join(m.Target, f.Path)
			l.files[name] = seen
			for name = path.Dir(name); strings.HasPrefix(name+"/", m.Target+"/"); name = path.Dir(name) {
				l.files[name] = Seen{Mode: fs.ModeDir | 0o755, UID: uid, GID: gid}
			}
		}
	}
	for _, f := range c.SecretFiles {
		v, known := rt.secret(f.Ref, d)
		if !known {
			return fmt.Errorf("no secret %s", f.Ref)
		}
		l.files[f.Target] = Seen{Content: v, Mode: fs.FileMode(f.Mode), UID: uid, GID: gid}
	}
	th.obj.Run, th.life = s.Run, l
	rt.folders[folderKey{d.Workspace, s.Target.String(), s.Run}] = l.host
	return nil
}

// owner is who runs the process of a container: root, unless the user is numbers.
func owner(user string) (uid, gid int) {
	u, g, _ := strings.Cut(user, ":")
	uid, _ = strconv.Atoi(u)
	gid, _ = strconv.Atoi(g)
	return uid, gid
}

// secret returns the value behind a secret reference.
func (rt *Runtime) secret(ref string, d plan.Desired) (string, bool) {
	if v, ok := rt.secrets[ref]; ok {
		return v, true
	}
	v, ok := d.Sealed[ref]
	return string(v.Data), ok
}

// command begins the command of a run.
func (rt *Runtime) command(th *thing) error {
	c := th.spec.Container
	rt.later(th, c.Task.Timeout, func() {
		rt.endCommand(th, plan.Outcome{Code: codeTimeout, Timeout: true})
	})
	argv := c.Main.Command
	switch {
	case len(argv) == 2 && argv[0] == sayCommand:
		th.life.host.log += th.variable(argv[1]) + "\n"
		rt.endCommand(th, plan.Outcome{})
		return nil
	case len(argv) == 2 && argv[0] == exitCommand:
		argv = []string{forCommand, "0s", argv[1]}
	case len(argv) != 3 || argv[0] != forCommand:
		return nil // it runs until it is ended
	}
	d, err := time.ParseDuration(argv[1])
	if err != nil {
		return fmt.Errorf("run %q: %w", argv, err)
	}
	code, err := strconv.Atoi(argv[2])
	if err != nil {
		return fmt.Errorf("run %q: %w", argv, err)
	}
	if d == 0 {
		rt.endCommand(th, plan.Outcome{Code: code})
		return nil
	}
	rt.later(th, d.Milliseconds(), func() { rt.endCommand(th, plan.Outcome{Code: code}) })
	return nil
}

// variable is what a variable holds in the container of a run.
func (th *thing) variable(name string) string {
	if name == "TASK_NAME" {
		return th.life.name
	}
	for _, e := range th.spec.Container.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// pausedFor is how long what is paused is left alone before it is looked at again,
// in milliseconds.
const pausedFor = 1000

// later does something after some milliseconds, if any, to a container that has not
// ended since; to one that is paused, some time after it no longer is.
func (rt *Runtime) later(th *thing, ms int64, f func()) {
	if ms <= 0 {
		return
	}
	started := th.obj.Started
	time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		rt.edit(func() {
			switch same := rt.things[th.obj.Handle] == th && th.obj.Started.Equal(started); {
			case same && th.obj.State == plan.StateRunning:
				f()
			case same && th.obj.State == plan.StatePaused:
				rt.later(th, pausedFor, f)
			}
		})
	})
}

// endCommand has the command of a run end, which the helper in the container writes
// down. The container stays for as long as it is to be kept alive.
func (rt *Runtime) endCommand(th *thing, how plan.Outcome) {
	if th.life.host.outcome != nil {
		return
	}
	how.Finished = rt.now()
	th.life.host.outcome = &how
	keep := th.spec.Container.Task.KeepAlive
	if keep == 0 {
		rt.end(th, how.Code)
		return
	}
	rt.later(th, keep, func() { rt.end(th, how.Code) })
}

// endRun is what is left of a run when its container ends: the helper writes down
// the end of the command, unless it is killed itself.
func (rt *Runtime) endRun(th *thing, code int) {
	if th.life == nil || th.life.host.outcome != nil || code == codeKilled {
		return
	}
	th.life.host.outcome = &plan.Outcome{Code: code, Finished: th.obj.Finished}
}

// addOutcomes adds to o how runs ended whose containers are gone.
func (rt *Runtime) addOutcomes(o *plan.Observed, d plan.Desired) {
	there := map[*folder]bool{}
	for _, th := range rt.things {
		if th.life != nil {
			there[th.life.host] = true
		}
	}
	for _, r := range d.Resources {
		for key, f := range rt.folders {
			if key.workspace == d.Workspace && key.id == r.ID.String() && f.outcome != nil && !there[f] {
				o.AddOutcome(r.ID, key.run, *f.outcome)
			}
		}
	}
}

// EndRun ends the command of a run with a code, as if by itself.
func (rt *Runtime) EndRun(handle string, code int) {
	rt.act(handle, func(th *thing) { rt.endCommand(th, plan.Outcome{Code: code}) })
}

// RunFolders returns the paths of what is on the host of runs, sorted.
func (rt *Runtime) RunFolders() []string {
	var out []string
	rt.locked(func() {
		for _, f := range rt.folders {
			out = append(out, f.dir)
		}
	})
	slices.Sort(out)
	return out
}

// Look returns what a process in a container sees at an absolute path.
func (rt *Runtime) Look(handle, file string) (Seen, bool) {
	var seen Seen
	var ok bool
	rt.locked(func() {
		if th := rt.things[handle]; th != nil && th.life != nil {
			seen, ok = th.life.files[path.Clean(file)]
		}
	})
	return seen, ok
}

// HostFile returns the content of a file that the engine made on the host: the log
// of a run.
func (rt *Runtime) HostFile(file string) (string, bool) {
	var text string
	var found bool
	rt.locked(func() {
		for _, f := range rt.folders {
			if strings.HasPrefix(file, f.dir+"/") && path.Base(file) == "log" {
				text, found = f.log, true
			}
		}
	})
	return text, found
}

// OnChange has f called whenever something happens in the engine that no step
// brought about, as by an event. It must not block; nil is nothing.
func (rt *Runtime) OnChange(f func()) { rt.locked(func() { rt.onChange = f }) }
