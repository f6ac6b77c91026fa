// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings"
)

// lab is the running service and what was built for it.
type lab struct {
	dir     string // a memory file system
	out     string // the folder that outlives the namespaces
	socket  string // unix:// URL
	version uint64 // major version of the service
	conn    context.Context
	cmd     *exec.Cmd
	done    chan struct{}
	log     *os.File

	mu     sync.Mutex
	images map[string]string // options → reference
	tool   func() ([]byte, error)
}

const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=8192:8192"]
log_driver = "k8s-file"
init_path = "/usr/bin/catatonit"

[engine]
runtime = "%[2]s"
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = "%[3]s"
events_logfile_max_size = "100m"
lock_type = "file"
exit_command_delay = 20
tmp_dir = "%[1]s/tmp"
helper_binaries_dir = ["/usr/lib/podman", "/usr/libexec/podman", "/usr/bin"]

[network]
network_backend = "netavark"
network_config_dir = "%[1]s/net"
`

const storageConf = `[storage]
driver = "overlay"
graphroot = "%[1]s/root"
runroot = "%[1]s/run"
`

// registriesConf lets the service pull from registries of this process, which
// speak plain HTTP.
const registriesConf = `unqualified-search-registries = []

[[registry]]
location = "127.0.0.1"
insecure = true
`

// open makes the namespaces a host for Podman and starts the service.
func open(out string) (*lab, error) {
	l := &lab{dir: filepath.Join(out, "m"), out: out, done: make(chan struct{}), images: map[string]string{}}
	l.tool = sync.OnceValues(buildTool)
	runtime, err := l.furnish()
	if err != nil {
		return nil, err
	}
	binary, err := exec.LookPath(podmanBinary())
	if err != nil {
		return nil, err
	}
	// The environment comes first: even `podman version` opens, and migrates,
	// the storage it is pointed to.
	if err := l.configure(runtime, binary); err != nil {
		return nil, err
	}
	said, err := exec.Command(binary, "version", "--format", "{{.Client.Version}}").Output()
	if err != nil {
		return nil, fmt.Errorf("%s version: %w", binary, err)
	}
	if _, err := fmt.Sscanf(string(said), "%d.", &l.version); err != nil {
		return nil, fmt.Errorf("%s version: unexpected %q", binary, said)
	}
	if l.version >= 5 && runtime != "runc" {
		// What newer servers write is beyond older cruns.
		if err := l.configureRuntime("runc"); err != nil {
			return nil, err
		}
	}
	if err := l.start(binary); err != nil {
		return nil, err
	}
	return l, nil
}

// furnish mounts what must be the lab's own and returns the OCI runtime that
// works here.
func (l *lab) furnish() (runtime string, err error) {
	runtime = "crun"
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil {
		// crun refuses hosts with both cgroup versions; hidden, the second one
		// does not disturb it.
		if err := syscall.Unmount("/sys/fs/cgroup/unified", 0); err != nil {
			runtime = "runc"
		}
	}
	if _, err := exec.LookPath("crun"); err != nil {
		runtime = "runc"
	}
	if err := os.Mkdir(l.dir, 0o755); err != nil {
		return "", err
	}
	for _, dir := range []string{"/run", "/dev/shm", l.dir} {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return "", fmt.Errorf("mount a tmpfs on %s: %w", dir, err)
		}
	}
	if said, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return "", fmt.Errorf("bring lo up: %w: %s", err, said)
	}
	return runtime, nil
}

// configure writes the configuration files and points the environment to them,
// so that any podman that a test starts shares the service's storage.
func (l *lab) configure(runtime, binary string) error {
	if err := l.configureRuntime(runtime); err != nil {
		return err
	}
	files := map[string]struct{ name, text string }{
		"CONTAINERS_STORAGE_CONF":    {"storage.conf", fmt.Sprintf(storageConf, l.dir)},
		"CONTAINERS_REGISTRIES_CONF": {"registries.conf", registriesConf},
	}
	for key, f := range files {
		path := filepath.Join(l.dir, f.name)
		if err := os.WriteFile(path, []byte(f.text), 0o644); err != nil {
			return err
		}
		if err := os.Setenv(key, path); err != nil {
			return err
		}
	}
	bin := filepath.Join(l.dir, "bin")
	err := errors.Join(
		os.MkdirAll(bin, 0o755), os.Symlink(binary, filepath.Join(bin, "podman")),
		os.MkdirAll(filepath.Join(l.dir, "net"), 0o755), os.MkdirAll(filepath.Join(l.dir, "t"), 0o1777),
		os.Setenv("PATH", bin+":"+os.Getenv("PATH")),
		os.Setenv("TMPDIR", filepath.Join(l.dir, "t")),
		os.Setenv("PODMAN_IGNORE_CGROUPSV1_WARNING", "1"),
	)
	for _, key := range []string{"CONTAINER_HOST", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE", "CONTAINERS_CONF_OVERRIDE", insideEnv} {
		err = errors.Join(err, os.Unsetenv(key))
	}
	return err
}

// configureRuntime writes containers.conf.
func (l *lab) configureRuntime(runtime string) error {
	path := filepath.Join(l.dir, "containers.conf")
	return errors.Join(
		os.WriteFile(path, []byte(fmt.Sprintf(containersConf, l.dir, runtime, filepath.Join(l.out, eventsFile))), 0o644),
		os.Setenv("CONTAINERS_CONF", path),
	)
}

const readyTimeout = 30 * time.Second

// start runs the service and waits until it answers.
func (l *lab) start(binary string) (err error) {
	path := filepath.Join(l.dir, "podman.sock")
	l.socket = "unix://" + path
	if l.log, err = os.Create(filepath.Join(l.dir, "service.log")); err != nil {
		return err
	}
	l.cmd = exec.Command(binary, "system", "service", "--time=0", l.socket)
	l.cmd.Dir = l.dir // what monitors write where they are goes with it
	l.cmd.Stdout, l.cmd.Stderr = l.log, l.log
	if err := l.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = l.cmd.Wait()
		close(l.done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	for {
		select {
		case <-l.done:
			return fmt.Errorf("the service ended (%s):\n%s", l.cmd.ProcessState, l.said())
		case <-ctx.Done():
			return fmt.Errorf("the service is not ready after %s:\n%s", readyTimeout, l.said())
		case <-time.After(5 * time.Millisecond):
		}
		if _, err := os.Stat(path); err != nil {
			continue
		}
		conn, err := bindings.NewConnection(context.Background(), l.socket)
		if err == nil {
			l.conn = conn
			return nil
		}
	}
}

func (l *lab) said() string {
	b, err := os.ReadFile(l.log.Name())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// close ends the service. Containers end with the namespaces.
func (l *lab) close() error {
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.done:
	case <-time.After(5 * time.Second):
		_ = l.cmd.Process.Kill()
		<-l.done
	}
	return l.log.Close()
}

// use returns the lab, or skips under -short.
func use(t testing.TB) *lab {
	t.Helper()
	// Read within a test it counts for the cache of `go test`: results with
	// another Podman are no results.
	_ = os.Getenv(BinaryEnv)
	if current == nil {
		if testing.Short() {
			t.Skip("needs Podman")
		}
		t.Fatal("podmantest.Main was not called by TestMain")
	}
	return current
}

// Socket returns the URL of the service, unix:///path. Under -short it skips
// the test.
func Socket(t testing.TB) string {
	t.Helper()
	return use(t).socket
}

// Version is the major version of the service.
func Version(t testing.TB) uint64 {
	t.Helper()
	return use(t).version
}

// Conn returns a context with the bindings' connection to the service, for
// looking at what a test did and for doing things behind its back.
func Conn(t testing.TB) context.Context {
	t.Helper()
	return use(t).conn
}
