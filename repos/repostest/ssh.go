// SPDX-License-Identifier: Apache-2.0

package repostest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// SSHServer serves the bare repositories below Root by a real sshd, one process
// a connection. Each is at URL/NAME.git.
type SSHServer struct {
	Root       string
	URL        string // ssh://USER@127.0.0.1:PORT and Root
	Addr       string // 127.0.0.1:PORT
	User       string
	Key        string // file of the client's private key, without passphrase
	KnownHosts string // file that names the server's key

	sshd, config string
	listener     net.Listener
	connections  sync.WaitGroup

	mu    sync.Mutex
	stall bool
	count int
	held  []net.Conn
}

// SSH starts a server that ends with the test.
func SSH(t testing.TB) *SSHServer {
	t.Helper()
	s := &SSHServer{sshd: findSSHD(t)}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.Root = filepath.Join(dir, "srv")
	s.Key = filepath.Join(dir, "id_ed25519")
	s.KnownHosts = filepath.Join(dir, "known_hosts")
	s.config = filepath.Join(dir, "sshd_config")
	if err := os.Mkdir(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(dir, "host_ed25519")
	NewKey(t, host)
	NewKey(t, s.Key)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.User = me.Username

	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.Addr = s.listener.Addr().String()
	s.URL = "ssh://" + s.User + "@" + s.Addr + s.Root
	ip, port, _ := net.SplitHostPort(s.Addr)
	public := strings.Fields(read(t, host+".pub"))
	write(t, s.KnownHosts, fmt.Sprintf("[%s]:%s %s %s\n", ip, port, public[0], public[1]))
	write(t, filepath.Join(dir, "authorized_keys"), read(t, s.Key+".pub"))
	s.SetEnv(t, nil)

	served := make(chan struct{})
	go func() {
		defer close(served)
		s.accept(t)
	}()
	t.Cleanup(func() {
		if err := s.listener.Close(); err != nil {
			t.Error(err)
		}
		<-served
		s.end()
		s.connections.Wait()
	})
	return s
}

// findSSHD also makes the folder that sshd wants when it runs as root, which
// otherwise the service's start script makes.
func findSSHD(t testing.TB) string {
	t.Helper()
	for _, file := range []string{"sshd", "/usr/sbin/sshd"} {
		found, err := exec.LookPath(file)
		if err != nil {
			continue
		}
		if found, err = filepath.Abs(found); err != nil { // sshd demands it
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Mkdir("/run/sshd", 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
		return found
	}
	t.Fatal("sshd is needed: install openssh-server")
	return ""
}

// NewKey makes a key pair without passphrase, file and file.pub.
func NewKey(t testing.TB, file string) {
	t.Helper()
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", filepath.Base(file), "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
}

// Repo makes an empty repository.
func (s *SSHServer) Repo(t testing.TB, name string) *Repo {
	t.Helper()
	r := NewRepo(t, filepath.Join(s.Root, name+".git"))
	r.URL = s.URL + "/" + name + ".git"
	return r
}

// Env is [Env] for a git client that may log in.
func (s *SSHServer) Env(more ...string) []string {
	ssh := "ssh -F /dev/null -i " + s.Key + " -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + s.KnownHosts
	return Env(append([]string{"GIT_SSH_COMMAND=" + ssh}, more...)...)
}

// SetEnv gives variables to what runs for clients, hooks among it, from the
// next connection on. Values have no double quotes.
func (s *SSHServer) SetEnv(t testing.TB, env map[string]string) {
	t.Helper()
	dir := filepath.Dir(s.config)
	var c bytes.Buffer
	fmt.Fprintf(&c, "HostKey %s\nAuthorizedKeysFile %s\n", filepath.Join(dir, "host_ed25519"), filepath.Join(dir, "authorized_keys"))
	c.WriteString("StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n" +
		"PermitRootLogin yes\nPrintMotd no\nPrintLastLog no\nPidFile none\nLogLevel ERROR\n")
	c.WriteString(`SetEnv "PATH=` + os.Getenv("PATH") + `" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null`)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&c, ` "%s=%s"`, name, env[name])
	}
	c.WriteString("\n")
	write(t, s.config, c.String())
}

// Stall makes the server accept connections and say nothing, or ends that.
func (s *SSHServer) Stall(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall = on
}

// Connections returns how many connections there were since the last call.
func (s *SSHServer) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count
	s.count = 0
	return n
}

func (s *SSHServer) accept(t testing.TB) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		s.count++
		s.held = append(s.held, conn)
		stall := s.stall
		s.mu.Unlock()
		if stall {
			continue
		}
		s.connections.Add(1)
		go func() {
			defer s.connections.Done()
			if err := s.serve(conn.(*net.TCPConn)); err != nil {
				t.Errorf("sshd: %v", err)
			}
		}()
	}
}

// serve gives a connection to an sshd of its own, as inetd does. How that ends
// is the client's business, so only a start that fails is an error.
func (s *SSHServer) serve(conn *net.TCPConn) error {
	socket, err := conn.File()
	if err != nil {
		return err
	}
	cmd := exec.Command(s.sshd, "-i", "-e", "-f", s.config)
	cmd.Stdin, cmd.Stdout = socket, socket
	err = cmd.Start()
	if e := socket.Close(); e != nil && err == nil {
		err = e
	}
	if err == nil {
		// It ends when the connection does.
		_ = cmd.Wait()
	}
	return errors.Join(err, s.hangUp(conn))
}

func (s *SSHServer) hangUp(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.held, conn); i >= 0 {
		s.held = slices.Delete(s.held, i, i+1)
		return conn.Close()
	}
	return nil
}

// end cuts all connections, by which their processes end.
func (s *SSHServer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.held {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseRead()
			_ = tcp.CloseWrite()
		}
		_ = conn.Close()
	}
	s.held = nil
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
