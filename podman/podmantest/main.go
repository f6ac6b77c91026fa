// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// BinaryEnv names the podman to test with.
const BinaryEnv = "RECONCILE_TEST_PODMAN"

// RegistryEnv names a registry with real images. When it is set the lab has no
// network of its own but the host's, so that it and containers reach what is out
// there; run one test binary at a time then.
const RegistryEnv = "RECONCILE_TEST_REGISTRY"

// insideEnv is set for the test binary inside the namespaces, to the lab's
// folder. Its path is short, since sockets live below it.
const insideEnv = "RECONCILE_TEST_LAB"

// Main runs a package's tests in the lab and exits. It never returns.
func Main(m *testing.M) {
	flag.Parse()
	if testing.Short() || flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	if dir := os.Getenv(insideEnv); dir != "" {
		os.Exit(inside(m, dir))
	}
	status, err := outside()
	if err != nil {
		fmt.Fprintf(os.Stderr, "podmantest: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

// outside runs this binary once more in namespaces of its own and removes what
// they cannot take with them.
func outside() (status int, err error) {
	if os.Getuid() != 0 {
		return 1, errors.New("a Podman of its own needs root; use -short to run without")
	}
	for _, name := range []string{"unshare", "catatonit", "ip", "conmon", "runc", podmanBinary()} {
		if _, err := exec.LookPath(name); err != nil {
			return 1, fmt.Errorf("%s is not installed (%w); use -short to run without Podman", name, err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		return 1, err
	}
	turn, err := enter()
	if err != nil {
		return 1, err
	}
	defer func() {
		err = errors.Join(err, removeCgroups(filepath.Join(dir, eventsFile)), turn.leave(), os.RemoveAll(dir))
	}()

	args := []string{
		"--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child=KILL",
		"--", "catatonit", "--", self,
	}
	if os.Getenv(RegistryEnv) == "" {
		args = append([]string{"--net"}, args...)
	}
	cmd := exec.Command("unshare", append(args, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), insideEnv+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(1, exit.ExitCode()), nil
	}
	return 0, err
}

func podmanBinary() string {
	if b := os.Getenv(BinaryEnv); b != "" {
		return b
	}
	return "podman"
}

// eventsFile is where the service logs its events: outside the memory file
// system, so that the ids of all containers leave the namespaces even when the
// tests crash.
const eventsFile = "events.log"

// inside is the process that runs the tests.
func inside(m *testing.M, dir string) int {
	l, err := open(dir)
	if err != nil {
		fmt.Fprintf(os.Stderr, "podmantest: %v\n", err)
		return 1
	}
	current = l
	status := m.Run()
	if err := l.close(); err != nil {
		fmt.Fprintf(os.Stderr, "podmantest: %v\n", err)
		status = max(status, 1)
	}
	return status
}

// current is the lab of this process. It is written once, before any test runs.
var current *lab

// containersIn returns the ids of the containers that an event log names.
func containersIn(events string) (map[string]bool, error) {
	ids := map[string]bool{}
	f, err := os.Open(events)
	if errors.Is(err, fs.ErrNotExist) {
		return ids, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e struct{ ID, Type string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "container" && len(e.ID) == 64 {
			ids[e.ID] = true
		}
	}
	return ids, lines.Err()
}

// removeCgroups removes the control groups of the lab's containers, which are
// the host's. They are empty because the process namespace is gone.
func removeCgroups(events string) error {
	ids, err := containersIn(events)
	if err != nil || len(ids) == 0 {
		return err
	}
	var found []string
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // groups of other processes come and go
		}
		if e.IsDir() && ids[containerOf(e.Name())] {
			found = append(found, path)
		}
		return nil
	})
	for _, path := range found {
		_ = filepath.WalkDir(path, func(sub string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() && sub != path {
				_ = os.Remove(sub)
			}
			return nil
		})
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// turn is held by every lab of this host, shared.
type turn struct{ f *os.File }

func enter() (turn, error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "reconcile-podmantest.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return turn{}, err
	}
	return turn{f}, syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
}

// leave removes the control groups that all labs share, if this is the last
// lab: an empty one may be where another lab is about to put a container.
func (t turn) leave() error {
	defer t.f.Close()
	if syscall.Flock(int(t.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil
	}
	shared, err := filepath.Glob("/sys/fs/cgroup/*/libpod_parent")
	for _, dir := range shared {
		_ = os.Remove(filepath.Join(dir, "conmon"))
		_ = os.Remove(dir) // refused while another Podman uses it
	}
	return err
}

// containerOf is the container id in the name of a control group:
// libpod-ID, libpod-conmon-ID, crun-… and the like.
func containerOf(name string) string {
	name = strings.TrimSuffix(name, ".scope")
	return name[strings.LastIndexByte(name, '-')+1:]
}
