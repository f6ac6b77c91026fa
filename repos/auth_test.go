// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"reconcile/repos/repostest"
)

const planted = "s3cr3t-t0ken"

func writeFile(t testing.TB, name, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask says
		t.Fatal(err)
	}
	return file
}

func TestHTTPCredentials(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: planted, Token: planted})
	repo := srv.Repo(t, "org/a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	host := strings.TrimPrefix(srv.URL, "http://")
	secret := func(text string) func(string) (Secret, error) {
		return func(name string) (Secret, error) {
			if name != "git" {
				return nil, errors.New("there is no such secret")
			}
			return Secret{"": []byte(text)}, nil
		}
	}
	keys := func(s Secret) func(string) (Secret, error) {
		return func(string) (Secret, error) { return s, nil }
	}
	line := func(format string, a ...any) string {
		return writeFile(t, "credentials", fmt.Sprintf(format, a...), 0o600)
	}
	for _, tt := range []struct {
		name string
		auth Auth
		ref  string // of the secret
		text string // of the error; "" = none
	}{
		{name: "none", text: "no credentials file is configured"},
		{name: "file", auth: Auth{Credentials: line("# ours\nhttps://x:y@example.org\nhttp://ada:%s@%s\n", planted, host)}},
		{name: "token alone", auth: Auth{Credentials: line("http://%s@%s", planted, host)}},
		{name: "path", auth: Auth{Credentials: line("http://ada:wrong@%s\nhttp://ada:%s@%s/org\nhttp://ada:wrong@%s/organ\n", host, planted, host, host)}},
		{name: "other path", auth: Auth{Credentials: line("http://ada:%s@%s/other\n", planted, host)}, text: "has nothing for " + srv.URL},
		{name: "other scheme", auth: Auth{Credentials: line("https://ada:%s@%s\n", planted, host)}, text: "has nothing for " + srv.URL},
		{name: "other port", auth: Auth{Credentials: line("http://ada:%s@127.0.0.1\n", planted)}, text: "has nothing for " + srv.URL},
		{name: "wrong", auth: Auth{Credentials: line("http://ada:%sx@%s\n", planted, host)}, text: "the credentials were refused"},
		{name: "no file", auth: Auth{Credentials: "/nonexistent"}, text: "/nonexistent does not exist"},
		{name: "bad line", auth: Auth{Credentials: line("\nhttp://ada %s\n", planted)}, text: ":2: not of the form"},
		{name: "open to others", auth: Auth{Credentials: writeFile(t, "open", "http://ada:"+planted+"@"+host, 0o640)}, text: "can be read by others (mode 0640); chmod 600 it"},
		{name: "secret with user", auth: Auth{Secret: secret("ada:" + planted + "\n")}, ref: "git"},
		{name: "secret with token", auth: Auth{Secret: secret(planted)}, ref: "git"},
		{name: "secret comes before the file", auth: Auth{Secret: secret("ada:no"), Credentials: line("http://ada:%s@%s", planted, host)}, ref: "git", text: "refused"},
		{name: "no secrets", ref: "git", text: "there are no secrets"},
		{name: "no such secret", auth: Auth{Secret: secret("")}, ref: "gut", text: `read secret "gut": there is no such secret`},
		{name: "secret of lines", auth: Auth{Secret: secret(planted + "\n" + planted)}, ref: "git", text: "not one line"},
		{name: "keys", auth: Auth{Secret: keys(Secret{keyUsername: []byte("ada"), keyPassword: []byte(planted + "\n"), keySSH: []byte("no")})}, ref: "git"},
		{name: "user and token", auth: Auth{Secret: keys(Secret{keyUsername: []byte("ada\n"), keyToken: []byte(planted)})}, ref: "git"},
		{name: "token by its key", auth: Auth{Secret: keys(Secret{keyToken: []byte(planted)})}, ref: "git"},
		{name: "password before token", auth: Auth{Secret: keys(Secret{keyUsername: []byte("ada"), keyPassword: []byte(planted), keyToken: []byte("no")})}, ref: "git"},
		{name: "no password", auth: Auth{Secret: keys(Secret{keyUsername: []byte("ada"), keySSH: []byte(planted)})}, ref: "git", text: `"git" has neither a password nor a token`},
		{name: "lines", auth: Auth{Secret: keys(Secret{keyToken: []byte(planted + "\n" + planted)})}, ref: "git", text: `the key token of the secret "git" is not one line`},
		{name: "key", auth: Auth{Secret: secret("-----BEGIN OPENSSH PRIVATE KEY-----\n" + planted)}, ref: "git", text: "is a private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t, StoreOptions{Auth: tt.auth})
			got := fetch(t, s, Source{URL: repo.URL, SecretRef: tt.ref})
			if tt.text == "" {
				wantCommit(t, "fetch", got, first, nil)
				return
			}
			if !errors.Is(got.Err, ErrAuth) || !strings.Contains(got.Err.Error(), tt.text) {
				t.Errorf("error %v, want %q", got.Err, tt.text)
			}
			if strings.Contains(fmt.Sprint(got.Err), planted) {
				t.Errorf("the error shows the secret: %v", got.Err)
			}
		})
	}
}

// Nothing that a store writes has credentials in it.
func TestCredentialsAreNotWritten(t *testing.T) {
	srv := repostest.HTTP(t, repostest.HTTPOptions{User: "ada", Password: planted})
	repo := srv.Repo(t, "a")
	repo.Commit(t, repostest.Commit{Files: files("a")})
	file := writeFile(t, "credentials", strings.Replace(repo.URL, "://", "://ada:"+planted+"@", 1), 0o600)
	s := newStore(t, StoreOptions{Auth: Auth{Credentials: file}})
	had(t, s, Source{URL: repo.URL})
	for name, text := range snapshot(t, s.opt.Dir) {
		if strings.Contains(text, planted) {
			t.Errorf("%s has the password", name)
		}
	}
}

// A server that sends the listing on to another keeps the credentials to itself.
func TestRedirect(t *testing.T) {
	to := repostest.HTTP(t, repostest.HTTPOptions{})
	repo := to.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	from := repostest.HTTP(t, repostest.HTTPOptions{})
	from.Break(repostest.Fault{Redirect: to.URL})
	file := writeFile(t, "credentials", strings.Replace(from.URL, "://", "://ada:"+planted+"@", 1), 0o600)
	s := newStore(t, StoreOptions{Auth: Auth{Credentials: file}})
	wantCommit(t, "redirected", fetch(t, s, Source{URL: from.URL + "/a.git"}), first, nil)
	for _, r := range from.Requests() {
		if r.Authorization == "" {
			t.Errorf("%s %s had no credentials", r.Method, r.Path)
		}
	}
	requests := to.Requests()
	if len(requests) != 2 {
		t.Errorf("the second server got %v", requests)
	}
	for _, r := range requests {
		if r.Authorization != "" {
			t.Errorf("%s %s took the credentials to another server", r.Method, r.Path)
		}
	}
	from.Break(repostest.Fault{Redirect: from.URL + "/again"})
	if got := fetch(t, s, Source{URL: from.URL + "/b.git"}); got.Err == nil {
		t.Error("a circle of redirects succeeded")
	}
}

func TestSSHKeys(t *testing.T) {
	t.Parallel()
	srv := repostest.SSH(t)
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	key, err := os.ReadFile(srv.Key)
	if err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(t.TempDir(), "stranger")
	repostest.NewKey(t, stranger)
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(rawKey(t, key), "", []byte(planted))
	if err != nil {
		t.Fatal(err)
	}
	passphrase := writeFile(t, "locked", string(pem.EncodeToMemory(locked)), 0o600)
	hosts := []string{srv.KnownHosts}
	env := func(kv ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == name {
					return kv[i+1], true
				}
			}
			return "", false
		}
	}
	for _, tt := range []struct {
		name string
		auth Auth
		ref  string
		text string
	}{
		{name: "file", auth: Auth{SSHKey: srv.Key, LookupEnv: noEnv}},
		{name: "home", auth: Auth{LookupEnv: env("HOME", home)}},
		{name: "agent", auth: Auth{LookupEnv: env("SSH_AUTH_SOCK", agentWith(t, key))}},
		{name: "agent that is gone", auth: Auth{LookupEnv: env("SSH_AUTH_SOCK", "/nonexistent", "HOME", home)}},
		{name: "secret", auth: Auth{LookupEnv: noEnv, Secret: func(string) (Secret, error) { return Secret{"": key}, nil }}, ref: "k"},
		{name: "secret of keys", auth: Auth{LookupEnv: noEnv, Secret: func(string) (Secret, error) { return Secret{keySSH: bytes.TrimSpace(key)}, nil }}, ref: "k"},
		{name: "secret without a key", auth: Auth{LookupEnv: noEnv, Secret: func(string) (Secret, error) { return Secret{keyToken: []byte(planted)}, nil }}, ref: "k", text: `"k" has no ssh-privatekey, which ssh needs`},
		{name: "secret that is none", auth: Auth{LookupEnv: noEnv, Secret: func(string) (Secret, error) { return Secret{"": []byte(planted)}, nil }}, ref: "k", text: "not a private key"},
		{name: "none", auth: Auth{LookupEnv: noEnv}, text: "takes none of our keys; offered were no keys"},
		{name: "stranger", auth: Auth{SSHKey: stranger, LookupEnv: noEnv}, text: "takes none of our keys; offered were the key " + stranger},
		{name: "passphrase", auth: Auth{SSHKey: passphrase, LookupEnv: noEnv}, text: "has a passphrase; add it to an ssh agent"},
		{name: "open to others", auth: Auth{SSHKey: writeFile(t, "open", string(key), 0o644), LookupEnv: noEnv}, text: "can be read by others"},
		{name: "missing", auth: Auth{SSHKey: "/nonexistent", LookupEnv: noEnv}, text: "/nonexistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.auth.KnownHosts = hosts
			got := fetch(t, newStore(t, StoreOptions{Auth: tt.auth}), Source{URL: repo.URL, SecretRef: tt.ref})
			if tt.text == "" {
				wantCommit(t, "fetch", got, first, nil)
				return
			}
			if !errors.Is(got.Err, ErrAuth) || !strings.Contains(got.Err.Error(), tt.text) || strings.Contains(got.Err.Error(), planted) {
				t.Errorf("error %v, want %q", got.Err, tt.text)
			}
		})
	}
	got := fetch(t, newStore(t, StoreOptions{Auth: sshAuth(srv)}), Source{URL: srv.URL + "/none.git"})
	wantCommit(t, "no repository", got, "", ErrNotFound)
}

// The key of a server must be known, and be the one that is known.
func TestSSHHostKeys(t *testing.T) {
	t.Parallel()
	srv := repostest.SSH(t)
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	known, err := os.ReadFile(srv.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	repostest.NewKey(t, other)
	public, err := os.ReadFile(other + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	address, _, _ := strings.Cut(string(known), " ")
	changed := writeFile(t, "changed", "# old\n"+address+" "+string(public), 0o644)
	revoked := writeFile(t, "revoked", "@revoked * "+strings.TrimPrefix(string(known), address+" "), 0o644)
	broken := writeFile(t, "broken", address+" ssh-ed25519 !!!\n", 0o644)
	unknown := writeFile(t, "unknown", "example.org "+string(public), 0o644)
	for _, tt := range []struct {
		name  string
		files []string
		text  string
	}{
		{"known", []string{srv.KnownHosts}, ""},
		{"known in the second", []string{unknown, "/nonexistent", srv.KnownHosts}, ""},
		{"no file", []string{"/nonexistent"}, "is in none of /nonexistent"},
		{"unknown", []string{unknown}, "is in none of " + unknown},
		{"changed", []string{changed}, "has changed: it is SHA256:"},
		{"changed, where", []string{changed}, changed + ":2 has another"},
		{"revoked", []string{revoked, srv.KnownHosts}, "is revoked by " + revoked + ":1"},
		{"broken", []string{broken}, broken + ":1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			auth := sshAuth(srv)
			auth.KnownHosts = tt.files
			got := fetch(t, newStore(t, StoreOptions{Auth: auth}), Source{URL: repo.URL})
			if tt.text == "" {
				wantCommit(t, "fetch", got, first, nil)
				return
			}
			if !errors.Is(got.Err, ErrAuth) || !strings.Contains(got.Err.Error(), tt.text) {
				t.Errorf("error %v, want %q", got.Err, tt.text)
			}
		})
	}
}

// The host keys in a secret count, and no others.
func TestSSHHostKeysOfSecret(t *testing.T) {
	srv := repostest.SSH(t)
	repo := srv.Repo(t, "a")
	first := repo.Commit(t, repostest.Commit{Files: files("a")})
	known := read(t, srv.KnownHosts)
	address, _, _ := strings.Cut(known, " ")
	other := filepath.Join(t.TempDir(), "other")
	repostest.NewKey(t, other)
	public := read(t, other+".pub")
	for _, tt := range []struct {
		name, hosts string
		text        string
	}{
		{"known", known, ""},
		{"unknown", "example.org " + public, `is in none of known_hosts of the secret "k"`},
		{"changed", "# old\n" + address + " " + public, `known_hosts of the secret "k", line 2 has another`},
		{"broken", address + " ssh-ed25519 !!!\n", `known_hosts of the secret "k" cannot be read`},
	} {
		for _, exec := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, exec %t", tt.name, exec), func(t *testing.T) {
				t.Setenv("TMPDIR", t.TempDir())
				auth := Auth{
					LookupEnv: func(string) (string, bool) { return "", false }, KnownHosts: []string{srv.KnownHosts},
					Secret: func(string) (Secret, error) {
						return Secret{keySSH: []byte(read(t, srv.Key)), keyKnownHosts: []byte(tt.hosts)}, nil
					},
				}
				got := fetch(t, newStore(t, StoreOptions{Auth: auth, Retries: -1}), Source{URL: repo.URL, SecretRef: "k", Exec: exec})
				switch {
				case tt.text == "":
					wantCommit(t, "fetch", got, first, nil)
				case got.Commit != "" || got.Err == nil || !exec && !strings.Contains(got.Err.Error(), tt.text):
					t.Errorf("%q, error %v, want %q", got.Commit, got.Err, tt.text)
				}
				if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
					t.Errorf("left behind are %v, %v", left, err)
				}
			})
		}
	}
}

// agentWith runs an ssh agent that holds a key, and returns its socket.
func agentWith(t *testing.T, key []byte) string {
	t.Helper()
	held := agent.NewKeyring()
	if err := held.Add(agent.AddedKey{PrivateKey: rawKey(t, key)}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(held, conn) // ends with the client
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		_ = os.RemoveAll(dir)
	})
	return l.Addr().String()
}

func rawKey(t testing.TB, key []byte) any {
	t.Helper()
	raw, err := ssh.ParseRawPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
