// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reconcile/repos/repostest"
)

// sshKey makes a key pair and returns the private key's file and the public
// key's line.
func sshKey(t testing.TB) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "id")
	repostest.NewKey(t, file)
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(b))
}

func text(t testing.TB, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func load(t testing.TB, keyrings, allowed []string) *Signers {
	t.Helper()
	s, err := LoadSigners(keyrings, allowed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// workTree is one in which the git client can commit.
func workTree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "work")
	repostest.Git(t, "", "init", "-q", "--initial-branch=main", dir)
	return dir
}

// signWithSSH makes a signed commit with the git client.
func signWithSSH(t testing.TB, dir, key string, more ...string) string {
	t.Helper()
	args := append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, more...)
	repostest.Git(t, dir, append(args, "commit", "-q", "-S", "--allow-empty", "-m", "signed\n\nwith text")...)
	return repostest.Git(t, dir, "rev-parse", "HEAD")
}

// refused checks why a commit is refused.
func refused(t *testing.T, got Signer, err error, want string) {
	t.Helper()
	if !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), want) {
		t.Errorf("Verify = %+v, %v, want a refusal with %q", got, err, want)
	}
}

func TestSSHSignatures(t *testing.T) {
	key, public := sshKey(t)
	other, otherPublic := sshKey(t)
	dir := workTree(t)
	signed := signWithSSH(t, dir, key)
	strange := signWithSSH(t, dir, other)
	repostest.Git(t, dir, "commit", "-q", "--allow-empty", "-m", "unsigned")
	unsigned := repostest.Git(t, dir, "rev-parse", "HEAD")
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-l", "-f", key+".pub").Output()
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := strings.Fields(string(out))[1]

	// Commits are of 2023-11-14 22:13:20 UTC.
	for name, test := range map[string]struct {
		line, identity, refusal string
	}{
		"plain":             {"ada@example.org " + public, "ada@example.org", ""},
		"pattern":           {"*@example.org,!eve@example.org " + public, "ada@example.org", ""},
		"other name":        {"ada,bob " + public, "ada,bob", ""},
		"excluded name":     {"*,!ada@* " + public, "*,!ada@*", ""},
		"quoted name":       {`"a d a" ` + public, "a d a", ""},
		"namespace":         {`ada namespaces="file,git" ` + public, "ada", ""},
		"namespace pattern": {`ada NAMESPACES="g?t" ` + public, "ada", ""},
		"valid":             {`ada valid-after="20231114Z",valid-before="20231115Z" ` + public, "ada", ""},
		"valid to the second": {
			`ada valid-after="20231114221320Z",valid-before="20231114221320Z",namespaces="git" ` + public, "ada", "",
		},
		"second line":       {"bob " + otherPublic + "\n# comment\n\n  ada\t" + public + " comment", "ada", ""},
		"second line valid": {`ada valid-before="20200101" ` + public + "\nada " + public, "ada", ""},
		"wrong namespace":   {`ada namespaces="file" ` + public, "", "may not sign commits (namespaces at "},
		"not in namespace":  {`ada namespaces="*,!git" ` + public, "", "may not sign commits"},
		"not yet valid":     {`ada valid-after="202311142214Z" ` + public, "", "was not valid yet"},
		"expired":           {`ada valid-before="202311142213Z" ` + public, "", "had expired when the commit was made (valid-before at "},
		"unknown":           {"bob " + otherPublic, "", "signed with the unknown ssh key " + fingerprint},
	} {
		t.Run(name, func(t *testing.T) {
			signers := load(t, nil, []string{text(t, test.line+"\n")})
			got, err := repo.Verify(signed, signers)
			if test.refusal != "" {
				refused(t, got, err, test.refusal)
				return
			}
			want := Signer{Kind: "ssh", Key: fingerprint, Identity: test.identity}
			if err != nil || got != want {
				t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
			}
			got, err = repo.Verify(unsigned, signers)
			refused(t, got, err, "the commit is not signed")
		})
	}
	signers := load(t, nil, []string{text(t, "ada "+public)})
	got, err := repo.Verify(strange, signers)
	refused(t, got, err, "unknown ssh key")
	got, err = repo.Verify(signed, &Signers{})
	refused(t, got, err, "unknown ssh key")
	if _, err := repo.Verify(strings.Repeat("1", 40), signers); err == nil || errors.Is(err, ErrSignature) {
		t.Errorf("Verify of a commit that is not there: %v", err)
	}
}

// By a store, what counts is the commit's signature, not that of its tag.
func TestStoreVerifies(t *testing.T) {
	key, public := sshKey(t)
	_, otherPublic := sshKey(t)
	dir := workTree(t)
	signed := signWithSSH(t, dir, key)
	repostest.Git(t, dir, "tag", "-a", "-m", "v1", "v1")
	repostest.Git(t, dir, "commit", "-q", "--allow-empty", "-m", "unsigned")
	unsigned := repostest.Git(t, dir, "rev-parse", "HEAD")
	repostest.Git(t, dir, "-c", "gpg.format=ssh", "-c", "user.signingkey="+key, "tag", "-s", "-m", "v2", "v2")

	s := NewStore(StoreOptions{Dir: filepath.Join(t.TempDir(), "mirrors")})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	v1, v2 := Source{URL: "file://" + dir, Ref: "v1"}, Source{URL: "file://" + dir, Ref: "v2"}
	if got := s.Fetch(t.Context(), []Source{v1, v2}); got[0].Commit != signed || got[1].Commit != unsigned {
		t.Fatalf("Fetch = %+v", got)
	}
	signers := load(t, nil, []string{text(t, "ada "+public)})
	if got, err := s.Verify(v1, signed, signers); err != nil || got.Identity != "ada" {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	got, err := s.Verify(v2, unsigned, signers)
	refused(t, got, err, "the commit is not signed")
	got, err = s.Verify(v1, signed, load(t, nil, []string{text(t, "bob "+otherPublic)}))
	refused(t, got, err, "unknown ssh key")
}

func TestTamperedCommits(t *testing.T) {
	key, public := sshKey(t)
	dir := workTree(t)
	signed := signWithSSH(t, dir, key)
	content := repostest.Git(t, dir, "cat-file", "commit", signed) + "\n"
	signers := load(t, nil, []string{text(t, "ada "+public)})
	if _, err := signers.Verify([]byte(content)); err != nil {
		t.Fatal(err)
	}
	file := text(t, "tree 1\n")
	if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-f", key, "-n", "file", file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	forFile, err := os.ReadFile(file + ".sig")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(content, "gpgsig ")
	_, message, _ := strings.Cut(rest, "\n\n")
	signature, _, _ := strings.Cut(rest, "-----END SSH SIGNATURE-----")
	signature = "gpgsig " + signature + "-----END SSH SIGNATURE-----\n"
	for name, test := range map[string]struct{ content, want string }{
		"message":        {strings.Replace(content, "with text", "with test", 1), "does not fit the commit"},
		"tree":           {strings.Replace(content, "tree 4", "tree 5", 1), "does not fit the commit"},
		"header added":   {strings.Replace(content, "committer ", "encoding x\ncommitter ", 1), "does not fit the commit"},
		"parent added":   {strings.Replace(content, "author ", "parent "+signed+"\nauthor ", 1), "does not fit the commit"},
		"in the message": {head + "\n" + message + signature, "the commit is not signed"},
		"twice":          {head + signature + signature + "\n" + message, "more than one signature"},
		"two in one":     {strings.Replace(content, "\n\n", "\n -----BEGIN SSH SIGNATURE-----\n\n", 1), "more than one signature"},
		"trailing":       {strings.Replace(content, "END SSH SIGNATURE-----\n", "END SSH SIGNATURE-----\n more\n", 1), "cannot be read"},
		"cut off":        {strings.Replace(content, "END SSH", "SSH", 1), "cannot be read"},
		"garbage":        {head + "gpgsig hello\n\n" + message, "or none that can be read"},
		"X.509":          {head + "gpgsig -----BEGIN SIGNED MESSAGE-----\n\n" + message, "X.509"},
		"unknown kind":   {head + "gpgsig -----BEGIN WAX-----\n\n" + message, "unknown kind"},
		"for files":      {"tree 1\ngpgsig " + strings.ReplaceAll(strings.TrimSpace(string(forFile)), "\n", "\n ") + "\n\n", `was made for "file"`},
		"nothing":        {"", "not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := signers.Verify([]byte(test.content))
			refused(t, got, err, test.want)
		})
	}
	// What was signed for another form of the commit is not looked at.
	other := strings.Replace(content, "gpgsig ", "gpgsig-sha256 -----BEGIN X-----\n more\ngpgsig ", 1)
	if _, err := signers.Verify([]byte(other)); err != nil {
		t.Error(err)
	}
}

// A loose object whose content is another commit's, also a signed one, is no
// proof of anything.
func TestSwappedObject(t *testing.T) {
	key, public := sshKey(t)
	dir := workTree(t)
	signed := signWithSSH(t, dir, key)
	repostest.Git(t, dir, "commit", "-q", "--allow-empty", "-m", "evil")
	evil := repostest.Git(t, dir, "rev-parse", "HEAD")
	object := func(hash string) string { return filepath.Join(dir, ".git/objects", hash[:2], hash[2:]) }
	b, err := os.ReadFile(object(signed))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(object(evil)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(object(evil), b, 0o644); err != nil {
		t.Fatal(err)
	}
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := repo.Verify(evil, load(t, nil, []string{text(t, "ada "+public)}))
	refused(t, got, err, "does not match its hash")
}

func TestGPGSignatures(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Fatalf("gpg is needed: %v", err)
	}
	home, err := os.MkdirTemp("", "gpg") // the agent's socket wants a short path
	if err != nil {
		t.Fatal(err)
	}
	env := repostest.Env("GNUPGHOME=" + home)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(gpg, append([]string{"--batch", "--quiet"}, args...)...)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v\n%s", args, err, stderr.Bytes())
		}
		return string(out)
	}
	t.Cleanup(func() {
		stop := exec.Command("gpgconf", "--kill", "gpg-agent")
		stop.Env = env
		if out, err := stop.CombinedOutput(); err != nil {
			t.Errorf("end gpg-agent: %v\n%s", err, out)
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	run("--passphrase", "", "--quick-gen-key", "Ada <ada@example.org>", "ed25519", "sign", "2y")
	run("--passphrase", "", "--quick-gen-key", "Bob <bob@example.org>", "rsa2048", "sign", "never")
	dir := workTree(t)
	commit := func(who string) string {
		t.Helper()
		repostest.GitWith(t, dir, env, "", "-c", "gpg.program="+gpg, "-c", "user.signingkey="+who, "commit", "-q", "-S", "--allow-empty", "-m", who)
		return repostest.Git(t, dir, "rev-parse", "HEAD")
	}
	byAda, byBob := commit("ada@example.org"), commit("bob@example.org")
	repo, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{{"--armor"}, nil} { // both forms of a keyring
		ada := text(t, run(append(flags, "--export", "ada@example.org")...))
		bob := text(t, run(append(flags, "--export", "bob@example.org")...))
		signers := load(t, []string{ada}, nil)
		got, err := repo.Verify(byAda, signers)
		if err != nil || got.Kind != "openpgp" || got.Identity != "Ada <ada@example.org>" || len(got.Key) != 40 || !strings.Contains(run("--with-colons", "--list-keys", "ada"), "fpr:::::::::"+got.Key) {
			t.Errorf("Verify = %+v, %v", got, err)
		}
		got, err = repo.Verify(byBob, signers)
		refused(t, got, err, "unknown OpenPGP key ")
		if got, err = repo.Verify(byBob, load(t, []string{ada, bob}, nil)); err != nil || got.Identity != "Bob <bob@example.org>" {
			t.Errorf("Verify = %+v, %v", got, err)
		}
	}
	both := text(t, run("--armor", "--export", "ada@example.org")+"\n"+run("--armor", "--export", "bob@example.org"))
	if got, err := repo.Verify(byBob, load(t, []string{both}, nil)); err != nil || got.Identity != "Bob <bob@example.org>" {
		t.Errorf("Verify with the second block of a file = %+v, %v", got, err)
	}
	content := repostest.Git(t, dir, "cat-file", "commit", byAda) + "\n"
	got, err := load(t, []string{both}, nil).Verify([]byte(strings.Replace(content, "ada@example.org\n", "eve@example.org\n", 1)))
	refused(t, got, err, "does not fit the commit: OpenPGP key ")

	payload, _, err := splitSignature([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"--digest-algo=sha1": "SHA-1, which can be forged", "--textmode": "is not one of a commit",
	} {
		signature := run("--local-user", "bob@example.org", "--armor", flag, "--output", "-", "--detach-sign", text(t, string(payload)))
		got, err := load(t, []string{both}, nil).Verify(withSignature(string(payload), signature))
		refused(t, got, err, want)
	}
}

// Keys in states that gpg makes no signatures with.
func TestOpenPGPKeyStates(t *testing.T) {
	made := time.Unix(repostest.Started, 0)
	payload := "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@x> 1700000000 +0000\ncommitter a <a@x> 1700000000 +0000\n\nhi\n"
	for name, test := range map[string]struct {
		life    uint32 // of the key, in seconds
		signed  time.Duration
		sigLife uint32
		revoke  bool
		want    string
	}{
		"good":              {0, time.Hour, 0, false, ""},
		"expired since":     {7200, time.Hour, 0, false, ""},
		"expired":           {3600, 2 * time.Hour, 0, false, "had expired when the commit was signed"},
		"not made yet":      {0, -time.Hour, 0, false, "had expired"},
		"revoked":           {0, time.Hour, 0, true, "is revoked"},
		"signature expired": {0, time.Hour, 60, false, "the OpenPGP signature has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: test.life, Time: func() time.Time { return made }}
			key, err := openpgp.NewEntity("Ada", "", "ada@example.org", conf)
			if err != nil {
				t.Fatal(err)
			}
			sig := &packet.Signature{
				Version: key.PrivateKey.Version, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PrivateKey.PubKeyAlgo,
				Hash: crypto.SHA256, CreationTime: made.Add(test.signed), IssuerKeyId: &key.PrivateKey.KeyId,
			}
			if test.sigLife > 0 {
				sig.SigLifetimeSecs = &test.sigLife
			}
			h := crypto.SHA256.New()
			h.Write([]byte(payload))
			var armored bytes.Buffer
			w, err := armor.Encode(&armored, openpgp.SignatureType, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(sig.Sign(h, key.PrivateKey, conf), sig.Serialize(w), w.Close()); err != nil {
				t.Fatal(err)
			}
			if test.revoke {
				if err := key.RevokeKey(packet.KeyRetired, "", conf); err != nil {
					t.Fatal(err)
				}
			}
			got, err := load(t, []string{keyring(t, key)}, nil).Verify(withSignature(payload, armored.String()))
			if test.want != "" {
				refused(t, got, err, test.want)
				return
			}
			want := Signer{Kind: "openpgp", Key: fmt.Sprintf("%X", key.PrimaryKey.Fingerprint), Identity: "Ada <ada@example.org>"}
			if err != nil || got != want {
				t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

func withSignature(payload, signature string) []byte {
	head, message, _ := strings.Cut(payload, "\n\n")
	return []byte(head + "\ngpgsig " + strings.ReplaceAll(strings.TrimSpace(signature), "\n", "\n ") + "\n\n" + message)
}

func keyring(t testing.TB, key *openpgp.Entity) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(key.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return text(t, b.String())
}

func TestLoadSignersRefuses(t *testing.T) {
	private, public := sshKey(t)
	key, err := openpgp.NewEntity("Ada", "", "ada@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var secret, armored bytes.Buffer
	w, err := armor.Encode(&armored, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(key.SerializePrivate(&secret, nil), key.SerializePrivate(w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ pgp, ssh, want string }{
		"authority":       {"", "# x\n\n*@example.org cert-authority " + public, ":3: cert-authority is not supported"},
		"unknown option":  {"", "ada verify-required " + public, `:1: unknown option "verify-required"`},
		"empty namespace": {"", `ada namespaces="" ` + public, "none is given"},
		"bad time":        {"", `ada valid-after="2023" ` + public, `valid-after: "2023" is no time`},
		"no key":          {"", "ada", "there is no ssh key"},
		"no name":         {"", public, "there is no ssh key"},
		"bad key":         {"", "ada ssh-ed25519 AAAA", "there is no ssh key"},
		"open quote":      {"", `"ada ` + public, "a quote is not closed"},
		"empty":           {"", "# nothing\n", "there is no key in it"},
		"private ssh":     {"", read(t, private), "there is no ssh key"},
		"ssh as OpenPGP":  {public, "", "load keyring"},
		"private":         {armored.String(), "", "public keys only"},
		"private binary":  {secret.String(), "", "public keys only"},
	} {
		t.Run(name, func(t *testing.T) {
			var pgp, ssh []string
			if test.pgp != "" {
				pgp = []string{text(t, test.pgp)}
			} else {
				ssh = []string{text(t, test.ssh)}
			}
			if _, err := LoadSigners(pgp, ssh); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("LoadSigners = %v, want %q", err, test.want)
			}
		})
	}
	if _, err := LoadSigners([]string{text(t, "")}, nil); err == nil || !strings.Contains(err.Error(), "there is no key in it") {
		t.Errorf("LoadSigners of an empty keyring: %v", err)
	}
	if _, err := LoadSigners([]string{"/nowhere"}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("LoadSigners of a file that is not there: %v", err)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		list, s string
		want    bool
	}{
		{"git", "git", true},
		{"git", "gi", false},
		{"*", "", true},
		{"?it,file", "git", true},
		{"*,!git", "git", false},
		{"!git", "file", false},
		{"*@example.org", "a/b@example.org", true},
		{"[ab]*", "abc", false},
		{"[ab]*", "[ab]c", true},
		{`a\*`, `a\x`, true},
	} {
		if got := matchesAny(splitPatterns(test.list), test.s); got != test.want {
			t.Errorf("%q matches %q: %v", test.list, test.s, got)
		}
	}
}
