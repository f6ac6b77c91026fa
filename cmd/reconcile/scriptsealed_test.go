// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	agelib "filippo.io/age"
	"filippo.io/age/armor"
	"github.com/rogpeppe/go-internal/testscript"
)

// sealCmd is `seal KEY FILE…`: it encrypts for the age identity in the file KEY,
// which it makes if need be. In a file, age(TEXT) becomes an encrypted value; a file
// without any is encrypted by the real sops, which is in PATH from then on.
func sealCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: seal KEY FILE…")
	}
	identity := scriptIdentity(ts, args[0])
	values := regexp.MustCompile(`age\((.*)\)`)
	for _, name := range args[1:] {
		text := ts.ReadFile(name)
		if !values.MatchString(text) {
			sopsEncrypt(ts, identity, name)
			continue
		}
		text = values.ReplaceAllStringFunc(text, func(s string) string {
			return strconv.Quote(ageEncrypt(ts, identity, values.FindStringSubmatch(s)[1]))
		})
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

func scriptIdentity(ts *testscript.TestScript, name string) *agelib.X25519Identity {
	if _, err := os.Stat(ts.MkAbs(name)); err != nil {
		identity, err := agelib.GenerateX25519Identity()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(identity.String()+"\n"), 0o600))
	}
	identity, err := agelib.ParseX25519Identity(strings.TrimSpace(ts.ReadFile(name)))
	ts.Check(err)
	return identity
}

func ageEncrypt(ts *testscript.TestScript, identity *agelib.X25519Identity, text string) string {
	var b bytes.Buffer
	a := armor.NewWriter(&b)
	w, err := agelib.Encrypt(a, identity.Recipient())
	ts.Check(err)
	_, err = w.Write([]byte(text))
	ts.Check(err)
	ts.Check(w.Close())
	ts.Check(a.Close())
	return b.String()
}

func sopsEncrypt(ts *testscript.TestScript, identity *agelib.X25519Identity, name string) {
	// There is no network here: whoever runs the tests has built it before.
	out, err := exec.Command("../../.ci/build-sops").Output()
	if err != nil {
		ts.Fatalf("there is no sops, which make deps builds: %v", err)
	}
	sops := strings.TrimSpace(string(out))
	bin := ts.MkAbs(filepath.Join(ts.Getenv("WORK"), ".sops"))
	if _, err := os.Stat(bin); err != nil {
		ts.Check(os.Mkdir(bin, 0o755))
		ts.Check(os.Symlink(sops, filepath.Join(bin, "sops")))
		ts.Setenv("PATH", bin+string(os.PathListSeparator)+ts.Getenv("PATH"))
	}
	ts.Check(ts.Exec(sops, "--config", "/dev/null", "-e", "-i", "--age", identity.Recipient().String(),
		"--encrypted-regex", "^(data|stringData)$", ts.MkAbs(name)))
}
