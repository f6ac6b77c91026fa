// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reconcile/reconcile/plan"
)

// Options is what a Runner needs to know.
type Options struct {
	// Dir holds what became of hooks, a file each. It is made when it is missing.
	Dir string
	// Logs is where output goes, see [LogFile].
	Logs string
	// Limit bounds the output that is kept of a run, in bytes; 0 = 1 MiB.
	Limit int64
	// Secret returns the value of a secret reference, see plan.Input; nil = there
	// are none.
	Secret func(ctx context.Context, ref string) (string, error)
	// Copy returns the folder of the copy in which a hook with InCopy runs; nil =
	// there are none.
	Copy func(s plan.Step, d plan.Desired) (string, error)
	// LookupEnv reads the environment of the operator, of which a hook gets PATH,
	// HOME and LANG; nil = it is empty.
	LookupEnv func(string) (string, bool)
}

// DefaultLimit is the limit of the output of a hook, in bytes.
const DefaultLimit = 1 << 20

// defaultPath is the PATH of hooks where the operator has none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Runner runs hooks on this host. Its methods may be called by several
// goroutines at once. The program's main must start with [MaybeServe].
type Runner struct{ opt Options }

// New returns a Runner. It writes nothing before the first hook runs.
func New(o Options) *Runner {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.LookupEnv == nil {
		o.LookupEnv = func(string) (string, bool) { return "", false }
	}
	return &Runner{opt: o}
}

// Look is [Look] at the hooks of r.
func (r *Runner) Look() (map[plan.ID]plan.HostHook, error) { return Look(r.opt.Dir) }

// Run runs the hook of a host step and returns when it has ended and nothing of
// it is left. Its error quotes the end of the output. A hook that runs already
// is not started, which is an error. When ctx ends, the hook is ended. When this
// process is killed, the hook goes on.
func (r *Runner) Run(ctx context.Context, s plan.Step, d plan.Desired) error {
	if s.Hook == nil || !s.Hook.Host() {
		return fmt.Errorf("host %s: the step names no hook of the host", s.Target)
	}
	job, err := r.job(ctx, s, d)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Hook.Name, err)
	}
	if err := r.clear(job); err != nil {
		return fmt.Errorf("%s: %w", s.Hook.Name, err)
	}
	if err := job.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.Hook.Name, err)
	}
	return nil
}

// job is what the child is told. It holds the values of secrets, and goes
// through a pipe and nowhere else.
type job struct {
	ID       plan.ID
	Hook     plan.HookName
	Digest   string
	Commands []string
	Dir      string
	Env      []string
	Secrets  []string // values
	Timeout  time.Duration
	Limit    int64
	State    string // file
	Log      string // file
	Run      string // mark of its processes
}

func (r *Runner) job(ctx context.Context, s plan.Step, d plan.Desired) (job, error) {
	h := s.Hook
	mark := make([]byte, 16)
	rand.Read(mark) // never fails: crypto/rand ends the program instead
	j := job{
		ID: s.Target, Hook: h.Name, Digest: h.Digest, Commands: h.Commands, Dir: h.Dir,
		Timeout: h.Timeout, Limit: r.opt.Limit, Run: hex.EncodeToString(mark),
		State: stateFile(r.opt.Dir, s.Target), Log: LogFile(r.opt.Logs, s.Target, h.Name),
	}
	if h.InCopy {
		if r.opt.Copy == nil {
			return job{}, errors.New("there is no copy of the agent's folder to run in")
		}
		dir, err := r.opt.Copy(s, d)
		if err != nil {
			return job{}, err
		}
		j.Dir = dir
		j.Env = append(j.Env, "CODE_PATH="+dir) // which nobody could know before
	}
	if err := isFolder(j.Dir); err != nil {
		return job{}, err
	}
	if err := verify(j.Dir, h.Files); err != nil {
		return job{}, err
	}
	return j, r.environ(ctx, h.Env, &j)
}

func isFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the agent's folder %s is gone", dir)
	case err != nil:
		return err
	case !filepath.IsAbs(dir) || !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// environ fills in what the hook has of variables.
func (r *Runner) environ(ctx context.Context, vars []plan.EnvVar, j *job) error {
	path, ok := r.opt.LookupEnv("PATH")
	if !ok || path == "" {
		path = defaultPath
	}
	j.Env = append(j.Env, "PATH="+path)
	for _, name := range []string{"HOME", "LANG"} {
		if v, ok := r.opt.LookupEnv(name); ok {
			j.Env = append(j.Env, name+"="+v)
		}
	}
	for _, v := range vars {
		value := v.Value
		if v.Secret != "" {
			if r.opt.Secret == nil {
				return fmt.Errorf("env %s: there are no secrets", v.Name)
			}
			var err error
			if value, err = r.opt.Secret(ctx, v.Secret); err != nil {
				return fmt.Errorf("env %s: %w", v.Name, err)
			}
			j.Secrets = append(j.Secrets, value)
		}
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("env %s: a value cannot hold a NUL byte", v.Name)
		}
		j.Env = append(j.Env, v.Name+"="+value)
	}
	j.Env = append(j.Env, markName+"="+j.Run)
	return nil
}

// clear makes room for a run: what is left of one whose child was killed is
// ended.
func (r *Runner) clear(j job) error {
	if err := os.MkdirAll(r.opt.Dir, 0o700); err != nil {
		return fmt.Errorf("keep the results of hooks: %w", err)
	}
	st, err := readState(j.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.State != plan.HookRunning:
		return nil
	case st.Process.alive():
		return errRuns
	}
	return kin{mark: st.Run}.end()
}

// errRuns: the hook is busy.
var errRuns = errors.New("it runs already, started by an earlier process")

// endGrace is what the child may take to end a hook.
const endGrace = 15 * time.Second

// run starts the child and waits for it.
func (j job) run(ctx context.Context) error {
	input, err := json.Marshal(j)
	if err != nil {
		return err
	}
	said := &ring{most: quoteBytes}
	cmd := exec.CommandContext(ctx, "/proc/self/exe") // not os.Executable: that file may be another version by now
	cmd.Args = []string{childName}
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), writerFunc(said.write)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endGrace
	waitErr := cmd.Run()

	st, err := readState(j.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch ours := st.Run == j.Run; {
	case ours && st.State == plan.HookDone:
		return nil
	case ours && st.State == plan.HookFailed && ctx.Err() != nil:
		return ctx.Err()
	case ours && st.State == plan.HookFailed:
		return errors.New(st.Detail)
	}
	// The child did not come to an end of its own.
	err = kin{mark: j.Run}.end()
	switch text := lastLines(said.bytes()); {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case text != "":
		return errors.New(text)
	case waitErr != nil:
		return fmt.Errorf("the process that runs it ended: %w", waitErr)
	}
	return errors.New("the process that runs it ended without a result")
}

// writerFunc is a writer that never fails.
type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
