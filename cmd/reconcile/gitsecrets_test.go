// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	encryption "filippo.io/age"
	"filippo.io/age/armor"
	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/workspace"
)

// What a repository is asked for with comes from a Secret document, else from a
// file or a folder of the secrets directory, and from nothing outside of it.
func TestGitSecret(t *testing.T) {
	const planted = "tok-40c1d2"
	dir := t.TempDir()
	for name, content := range map[string]string{
		"secrets/one": planted, "secrets/folder/token": planted, "secrets/folder/other": "x",
		"secrets/useless/other": planted, "secrets/large/token": strings.Repeat("x", maxSecret+1), "outside/token": planted,
	} {
		writeSecretFile(t, filepath.Join(dir, name), content)
	}
	if err := os.Symlink("../outside", filepath.Join(dir, "secrets/link")); err != nil {
		t.Fatal(err)
	}
	id, err := encryption.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	writeSecretFile(t, filepath.Join(dir, "age.key"), id.String()+"\n")
	other, err := encryption.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	a := &app{secretsDir: filepath.Join(dir, "secrets"), ageKey: filepath.Join(dir, "age.key"), lookupEnv: func(string) (string, bool) { return "", false }}
	sealed := func(name string, format plan.SealedFormat, data []byte) string {
		return a.sealed.put("default/"+name, workspace.GitSecret{Keys: map[string]plan.Sealed{"token": {Format: format, Data: data, Namespace: "default", Name: name, Key: "token"}}})
	}
	for _, tt := range []struct {
		name string
		ref  string
		want repos.Secret
		text string
	}{
		{"file", "one", repos.Secret{"": []byte(planted)}, ""},
		{"folder", "folder", repos.Secret{"token": []byte(planted)}, ""},
		{"folder of other things", "useless", nil, "secret useless: the folder has none of username, password, token, ssh-privatekey, known_hosts"},
		{"large", "large", nil, "larger than 500 KiB"},
		{"none", "nobody", nil, "no such file"},
		{"above", "../outside", nil, "escapes"},
		{"link", "link", nil, "escapes"},
		{"plain document", sealed("plain", plan.SealedPlain, []byte(planted)), repos.Secret{"token": []byte(planted)}, ""},
		{"age document", sealed("age", plan.SealedAge, encrypt(t, planted, id.Recipient())), repos.Secret{"token": []byte(planted)}, ""},
		{"document of the name of a file", sealed("one", plan.SealedPlain, []byte("document")), repos.Secret{"token": []byte("document")}, ""},
		{"another key", sealed("foreign", plan.SealedAge, encrypt(t, planted, other.Recipient())), nil, "decrypt token of Secret default/foreign with age: it is encrypted for other keys"},
		{"document that is gone", documentPrefix + "default/none", nil, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := a.gitSecret(tt.ref)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("secret (-want +got):\n%s", diff)
			}
			if tt.text == "" && err != nil || tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)) || err != nil && strings.Contains(err.Error(), planted) {
				t.Errorf("error %v, want %q", err, tt.text)
			}
		})
	}
	if _, err := (&app{}).gitSecret("one"); err == nil || !strings.Contains(err.Error(), "there is no --secrets-dir") {
		t.Errorf("without a directory: %v", err)
	}
}

func writeSecretFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func encrypt(t *testing.T, value string, to encryption.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	armored := armor.NewWriter(&b)
	w, err := encryption.Encrypt(armored, to)
	if err == nil {
		_, err = w.Write([]byte(value))
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = armored.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
