// SPDX-License-Identifier: Apache-2.0

package secrets_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"reconcile/reconcile/plan"
	"reconcile/secrets"
)

const value = "hunter2-is-no-password\n"

// lookup reads variables of env only.
func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func writeFile(t testing.TB, path, data string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// keyFile writes a file as age-keygen does.
func keyFile(t testing.TB, id *age.X25519Identity) string {
	t.Helper()
	return writeFile(t, t.TempDir()+"/keys.txt", fmt.Sprintf("# created: today\n# public key: %s\n%s\n", id.Recipient(), id))
}

// encrypt returns an armored message.
func encrypt(t testing.TB, text string, to ...age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := age.Encrypt(a, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sealed(message []byte) plan.Sealed {
	return plan.Sealed{Format: plan.SealedAge, Data: message, Namespace: "prod", Name: "db", Key: "PASSWORD"}
}

// sshKey returns a private key in its file's form, with its public one.
func sshKey(t testing.TB, passphrase string) (private string, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err = ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), public
}

func TestOpenAge(t *testing.T) {
	own, other := newIdentity(t), newIdentity(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	private, public := sshKey(t, "")
	sshTo, err := agessh.NewEd25519Recipient(public)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key     string
		message []byte
		want    string
	}{
		"own":               {own.String(), encrypt(t, value, own.Recipient()), value},
		"empty":             {own.String(), encrypt(t, "", own.Recipient()), ""},
		"binary":            {own.String(), encrypt(t, "\x00\xff\n\n", own.Recipient()), "\x00\xff\n\n"},
		"one of several":    {own.String(), encrypt(t, value, other.Recipient(), own.Recipient()), value},
		"one of several of": {other.String() + "\n\n# mine\n" + own.String() + "\r\n", encrypt(t, value, own.Recipient()), value},
		"post-quantum":      {hybrid.String(), encrypt(t, value, hybrid.Recipient()), value},
		"ssh":               {private, encrypt(t, value, sshTo), value},
		"blanks around":     {own.String(), []byte("\n  " + string(encrypt(t, value, own.Recipient())) + "\n\n"), value},
		"nearly too large":  {own.String(), encrypt(t, strings.Repeat("x", 1<<20), own.Recipient()), strings.Repeat("x", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			o := secrets.New(secrets.Options{AgeKey: writeFile(t, t.TempDir()+"/key", tt.key)})
			got, err := o.Open(t.Context(), sealed(tt.message))
			if err != nil || string(got) != tt.want {
				t.Errorf("Open: %.100q, %v; want %.100q", got, err, tt.want)
			}
		})
	}
}

func TestOpenPlain(t *testing.T) {
	s := plan.Sealed{Format: plan.SealedPlain, Data: []byte(value)}
	o := secrets.New(secrets.Options{})
	got, err := o.Open(t.Context(), s)
	if err != nil || string(got) != value {
		t.Fatalf("Open: %q, %v", got, err)
	}
	got[0] = 'X'
	if string(s.Data) != value {
		t.Error("what Open returned is the caller's to change, and the document changed")
	}
	if _, err := o.Open(t.Context(), plan.Sealed{Format: "rot13", Key: "K", Name: "n"}); err == nil || err.Error() != "K of Secret default/n is encrypted in an unknown way" {
		t.Errorf("another format: error %v", err)
	}
}

// The first of these that is set says where the key is.
func TestKeyOrder(t *testing.T) {
	home, config := t.TempDir(), t.TempDir()
	ids := map[string]*age.X25519Identity{}
	for _, name := range []string{"flag", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY", "XDG_CONFIG_HOME", "HOME"} {
		ids[name] = newIdentity(t)
	}
	writeFile(t, config+"/sops/age/keys.txt", ids["XDG_CONFIG_HOME"].String())
	writeFile(t, home+"/.config/sops/age/keys.txt", ids["HOME"].String())
	env := map[string]string{
		"SOPS_AGE_KEY_FILE": keyFile(t, ids["SOPS_AGE_KEY_FILE"]), "SOPS_AGE_KEY": ids["SOPS_AGE_KEY"].String(),
		"XDG_CONFIG_HOME": config, "HOME": home,
	}
	opt := secrets.Options{AgeKey: keyFile(t, ids["flag"]), LookupEnv: lookup(env)}
	for _, name := range []string{"flag", "SOPS_AGE_KEY_FILE", "SOPS_AGE_KEY", "XDG_CONFIG_HOME", "HOME"} {
		got, err := secrets.New(opt).Open(t.Context(), sealed(encrypt(t, name, ids[name].Recipient())))
		if err != nil || string(got) != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if file := opt.KeyFile(); (file == "") != (name == "SOPS_AGE_KEY") {
			t.Errorf("%s: the key is read from %q", name, file)
		}
		if name == "flag" {
			opt.AgeKey = ""
		} else {
			delete(env, name)
		}
	}
	_, err := secrets.New(opt).Open(t.Context(), sealed(encrypt(t, value, ids["flag"].Recipient())))
	if want := "decrypt PASSWORD of Secret prod/db with age: there is no key: give one with --age-key"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestOpenAgeRefuses(t *testing.T) {
	own := newIdentity(t)
	dir := t.TempDir()
	good := writeFile(t, dir+"/good", own.String())
	locked, _ := sshKey(t, "secret passphrase")
	phrase, err := age.NewScryptRecipient(value)
	if err != nil {
		t.Fatal(err)
	}
	phrase.SetWorkFactor(4)
	message := encrypt(t, value, own.Recipient())
	damaged := bytes.Replace(message, []byte("\n-----END"), []byte("A\n-----END"), 1)
	lines := bytes.SplitAfter(message, []byte("\n"))
	short := bytes.Join(append(lines[:len(lines)-3:len(lines)-3], lines[len(lines)-2:]...), nil)
	const prefix = "decrypt PASSWORD of Secret prod/db with age: "
	for name, tt := range map[string]struct {
		key     string
		message []byte
		want    string
	}{
		"another key":     {good, encrypt(t, value, newIdentity(t).Recipient()), prefix + "it is encrypted for other keys than those of this host"},
		"a passphrase":    {good, encrypt(t, value, phrase), prefix + "it is encrypted with a passphrase, for which nobody can be asked: encrypt it for the key of this host"},
		"damaged":         {good, damaged, prefix + "it is damaged: a part of it is missing, or was changed"},
		"cut in the body": {good, short, prefix + "it is damaged: a part of it is missing, or was changed"},
		"cut":             {good, message[:len(message)-40], prefix + "it is damaged: a part of it is missing, or was changed"},
		"something after": {good, append(bytes.Clone(message), "hunter3"...), prefix + "it is damaged: a part of it is missing, or was changed"},
		"not armored":     {good, []byte("age-encryption.org/v1\n"), prefix + "it is no armored message: encrypt it with age --armor"},
		"empty":           {good, nil, prefix + "it is no armored message: encrypt it with age --armor"},
		"too large":       {good, encrypt(t, strings.Repeat("x", 1<<20+1), own.Recipient()), "PASSWORD of Secret prod/db is larger than 1048576 bytes"},
		"no key file":     {dir + "/none", message, prefix + "read the key: open " + dir + "/none: no such file or directory"},
		"a folder":        {dir, message, prefix + "read the key: read " + dir + ": is a directory"},
		"empty key file":  {writeFile(t, dir+"/empty", "# nothing\n\n"), message, prefix + "there is no identity of age in " + dir + "/empty"},
		"public key":      {writeFile(t, dir+"/public", "# k\n"+own.Recipient().String()), message, prefix + dir + "/public:2:1: no identity of age: those begin with AGE-SECRET-KEY-1"},
		"misspelt key":    {writeFile(t, dir+"/misspelt", own.String()[:70]), message, prefix + dir + "/misspelt:1:1: no identity of age: those begin with AGE-SECRET-KEY-1"},
		"locked ssh key":  {writeFile(t, dir+"/locked", locked), message, prefix + "the SSH key " + dir + "/locked has a passphrase, for which nobody can be asked"},
		"no ssh key":      {writeFile(t, dir+"/pem", "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"), message, prefix + dir + "/pem is no private SSH key that age can use: ed25519 or RSA"},
		"locked identity": {writeFile(t, dir+"/age", string(encrypt(t, own.String(), phrase))), message, prefix + "the key " + dir + "/age has a passphrase, for which nobody can be asked"},
		"large key file":  {writeFile(t, dir+"/large", strings.Repeat("#\n", 1<<20)), message, prefix + "read the key: " + dir + "/large is larger than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := secrets.New(secrets.Options{AgeKey: tt.key}).Open(t.Context(), sealed(tt.message))
			if err == nil || err.Error() != tt.want || got != nil {
				t.Errorf("Open: %d bytes, error\n%v, want\n%s", len(got), err, tt.want)
			}
			for _, leak := range []string{"hunter", own.String()[20:40]} {
				if err != nil && strings.Contains(err.Error(), leak) {
					t.Errorf("%q is in the error", leak)
				}
			}
		})
	}
}

// What is open stays open, and what is not is tried again, but not at once.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newIdentity(t)
		key := t.TempDir() + "/key"
		o := secrets.New(secrets.Options{AgeKey: key})
		s := sealed(encrypt(t, value, own.Recipient()))
		open := func(want bool) {
			t.Helper()
			got, err := o.Open(t.Context(), s)
			if (err == nil) != want || want && string(got) != value {
				t.Errorf("after %s: %q, %v", time.Since(epoch()), got, err)
			}
		}
		open(false)
		writeFile(t, key, own.String())
		time.Sleep(9 * time.Second)
		open(false)
		time.Sleep(time.Second)
		open(true)
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		open(true)
		time.Sleep(50 * time.Minute)
		open(true)
		time.Sleep(61 * time.Minute)
		other := s
		other.Data = encrypt(t, value, own.Recipient())
		_, _ = o.Open(t.Context(), other) // which is when the unused are forgotten
		open(false)
	})
}

// epoch is when synctest begins.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestOpenConcurrently(t *testing.T) {
	own := newIdentity(t)
	o := secrets.New(secrets.Options{AgeKey: keyFile(t, own)})
	var messages []plan.Sealed
	for i := range 5 {
		messages = append(messages, sealed(encrypt(t, fmt.Sprint(i), own.Recipient())))
	}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			got, err := o.Open(t.Context(), messages[i%5])
			if err != nil || string(got) != fmt.Sprint(i%5) {
				t.Errorf("%d: %q, %v", i, got, err)
			}
			clear(got) // it is ours
		})
	}
	all.Wait()
}

// A caller who gives up says nothing about the value.
func TestCancelIsNotRemembered(t *testing.T) {
	own := newIdentity(t)
	o := secrets.New(secrets.Options{AgeKey: keyFile(t, own)})
	s := sealed(encrypt(t, value, own.Recipient()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = o.Open(ctx, s)
	if got, err := o.Open(t.Context(), s); err != nil || string(got) != value {
		t.Errorf("Open: %q, %v", got, err)
	}
}

func TestReadableByOthers(t *testing.T) {
	opt := secrets.Options{AgeKey: keyFile(t, newIdentity(t))}
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o644: true} {
		if err := os.Chmod(opt.AgeKey, mode); err != nil {
			t.Fatal(err)
		}
		if file, got := opt.ReadableByOthers(); got != want || file != opt.AgeKey {
			t.Errorf("mode %04o: %s, %v", mode, file, got)
		}
	}
	if _, got := (secrets.Options{AgeKey: "/none"}).ReadableByOthers(); got {
		t.Error("a file that is not there can be read")
	}
}
