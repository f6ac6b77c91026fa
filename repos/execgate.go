// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// gate is how the git program gets credentials: those of http from a file
// without a name, that it inherits; a private key by an ssh agent of this
// process. Neither outlasts the process, nor can others read it.
type gate struct {
	files []*os.File // inherited, from descriptor 3 on
	dir   string     // temporary; "" = none
	agent net.Listener
	wait  sync.WaitGroup
}

func (g *gate) close() error {
	var errs []error
	for _, f := range g.files {
		errs = append(errs, f.Close())
	}
	if g.agent != nil {
		errs = append(errs, g.agent.Close())
	}
	g.wait.Wait()
	if g.dir != "" {
		errs = append(errs, os.RemoveAll(g.dir))
	}
	return errors.Join(errs...)
}

func (g *gate) folder() (string, error) {
	if g.dir != "" {
		return g.dir, nil
	}
	dir, err := os.MkdirTemp("", "reconcile-git-")
	if err != nil {
		return "", err
	}
	g.dir = dir
	return dir, nil
}

// nameless returns a file that nobody else can open.
func (g *gate) nameless(content string) error {
	f, err := os.CreateTemp("", "reconcile-git-*")
	if err != nil {
		return err
	}
	g.files = append(g.files, f)
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return err
}

// credentialHelper answers from the inherited file, as often as it is asked, and
// keeps nothing. git's own "store" would write a file beside it. git has a shell
// run it; nothing of ours is in it.
const credentialHelper = `!f() { test "$1" = get && cat /dev/fd/3; }; f`

// prepareHTTP gives git credentials that count for that host alone, whatever
// redirects say.
func (g *gitProgram) prepareHTTP(src Source) error {
	l, ok, err := g.auth.login(g.u, src.SecretRef)
	if err != nil || !ok {
		return err
	}
	if strings.ContainsAny(l.user+l.password, "\r\n\x00") {
		return fmt.Errorf("%w: the credentials for %s have a line break in them", ErrAuth, g.u.host())
	}
	if err := g.gate.nameless("username=" + l.user + "\npassword=" + l.password + "\n"); err != nil {
		return fmt.Errorf("hand credentials over: %w", err)
	}
	g.flags = append(g.flags, "-c", "credential."+g.u.Scheme+"://"+g.u.host()+".helper="+credentialHelper)
	return nil
}

// prepareSSH writes a configuration for ssh, so that nobody's counts.
func (g *gitProgram) prepareSSH(src Source) error {
	hosts, err := g.auth.hosts(g.u, src.SecretRef)
	if err != nil {
		return err
	}
	dir, err := g.gate.folder()
	if err != nil {
		return err
	}
	if hosts.content != nil {
		hosts.files = []string{filepath.Join(dir, keyKnownHosts)}
		if err := os.WriteFile(hosts.files[0], hosts.content, 0o600); err != nil {
			return err
		}
	}
	socket, identities, err := g.identities(src)
	if err != nil {
		return err
	}
	var c strings.Builder
	c.WriteString("BatchMode yes\nStrictHostKeyChecking yes\nUpdateHostKeys no\nCheckHostIP no\nGlobalKnownHostsFile none\n" +
		"PreferredAuthentications publickey\nForwardAgent no\nForwardX11 no\nClearAllForwardings yes\n" +
		"ConnectTimeout 30\nServerAliveInterval 15\nServerAliveCountMax 4\nLogLevel ERROR\n")
	c.WriteString("UserKnownHostsFile" + sshList(hosts.files) + "\n")
	c.WriteString("IdentityAgent" + sshList([]string{socket}) + "\n")
	for _, file := range identities {
		c.WriteString("IdentityFile" + sshList([]string{file}) + "\n")
	}
	if strings.ContainsAny(strings.Join(append(identities, append(hosts.files, socket)...), ""), "\"\n${}") {
		return fmt.Errorf("%w: a file of ssh keys, known hosts, or of the agent has a name that ssh cannot be told", ErrAuth)
	}
	config := filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(c.String()), 0o600); err != nil {
		return err
	}
	// git has a shell split this.
	g.env = append(g.env, "GIT_SSH_COMMAND=ssh -F '"+strings.ReplaceAll(config, "'", `'\''`)+"'", "GIT_SSH_VARIANT=ssh")
	return nil
}

// sshList quotes names for ssh_config(5); none is "none".
func sshList(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(` "` + strings.ReplaceAll(name, "%", "%%") + `"`)
	}
	if len(names) == 0 {
		return " none"
	}
	return b.String()
}

// identities returns the socket of an agent and files of keys, "none" for each
// that there is not.
func (g *gitProgram) identities(src Source) (socket string, files []string, err error) {
	var content []byte
	name := g.auth.SSHKey
	switch {
	case src.SecretRef != "":
		name = fmt.Sprintf("the secret %q", src.SecretRef)
		content, err = g.auth.sshKey(src.SecretRef)
	case name != "":
		if content, err = private(name); err != nil {
			err = fmt.Errorf("%w: ssh key: %w", ErrAuth, err)
		}
	default:
		return g.usual()
	}
	if err != nil {
		return "", nil, err
	}
	if _, err := oneKey(content, name); err != nil {
		return "", nil, err
	}
	key, err := ssh.ParseRawPrivateKey(content)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s is not a private key in PEM form", ErrAuth, name)
	}
	if err := g.gate.serve(key); err != nil {
		return "", nil, fmt.Errorf("hand key over: %w", err)
	}
	return g.gate.agent.Addr().String(), []string{"none"}, nil
}

func (g *gitProgram) usual() (socket string, files []string, err error) {
	if socket = g.auth.env("SSH_AUTH_SOCK"); socket == "" {
		socket = "none"
	}
	for _, file := range g.auth.keyFiles() {
		if _, err := private(file); err == nil {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		files = []string{"none"}
	}
	return socket, files, nil
}

// serve is an ssh agent with one key.
func (g *gate) serve(key any) error {
	held := agent.NewKeyring()
	if err := held.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		return err
	}
	dir, err := g.folder()
	if err != nil {
		return err
	}
	// The folder can be entered by this user only.
	if g.agent, err = net.Listen("unix", filepath.Join(dir, "agent")); err != nil {
		return err
	}
	g.wait.Go(func() {
		for {
			conn, err := g.agent.Accept()
			if err != nil {
				return // closed
			}
			g.wait.Go(func() {
				_ = agent.ServeAgent(held, conn) // until ssh hangs up, which it has when git ends
				_ = conn.Close()
			})
		}
	})
	return nil
}
