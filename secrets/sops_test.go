// SPDX-License-Identifier: Apache-2.0

package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"reconcile/reconcile/plan"
	"reconcile/secrets"
)

// sopsProgram is the real sops, which testdata/sops of the repository pins.
func sopsProgram(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds sops")
	}
	cmd := exec.Command("../.ci/build-sops")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("build sops: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// sopsHost is a host with sops in its PATH and a key.
type sopsHost struct {
	t       testing.TB
	program string
	id      *age.X25519Identity
	opt     secrets.Options
}

func newSOPSHost(t testing.TB) sopsHost {
	t.Helper()
	h := sopsHost{t: t, program: sopsProgram(t), id: newIdentity(t)}
	bin := t.TempDir()
	if err := os.Symlink(h.program, bin+"/sops"); err != nil {
		t.Fatal(err)
	}
	h.opt = secrets.Options{AgeKey: keyFile(t, h.id), LookupEnv: lookup(map[string]string{"PATH": bin, "HOME": t.TempDir()})}
	return h
}

// encrypt has sops encrypt a file for the host's key, or those of to.
func (h sopsHost) encrypt(name, text string, to ...string) plan.Sealed {
	h.t.Helper()
	if len(to) == 0 {
		to = []string{h.id.Recipient().String()}
	}
	kind := strings.TrimPrefix(filepath.Ext(name), ".")
	cmd := exec.Command(h.program, "--config", "/dev/null", "-e", "--age", strings.Join(to, ","),
		"--encrypted-regex", "^(data|stringData)$", "--input-type", kind, "--output-type", kind, "/dev/stdin")
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), h.t.Output()
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("encrypt: %v", err)
	}
	if bytes.Contains(out, []byte("hunter2")) {
		h.t.Fatalf("sops encrypted nothing:\n%s", out)
	}
	return plan.Sealed{Format: plan.SealedSOPS, Data: out, File: "secrets/" + name}
}

func of(s plan.Sealed, namespace, name, key string) plan.Sealed {
	s.Namespace, s.Name, s.Key = namespace, name, key
	return s
}

const secretFile = `apiVersion: v1
kind: ConfigMap
metadata: {name: db}
data: {PASSWORD: not this}
---
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: prod
data:
  PASSWORD: aHVudGVyMi1pcy1ubw==
  BOTH: aHVudGVyMi1pcy1ubw==
  BINARY: |
    AP8K
    Cg==
  PLAIN: hunter2 is no base64
stringData:
  BOTH: hunter2 wins
  EMPTY: ""
  LINES: |
    hunter2
      two
  NUMBER: 8080
  "OFF": no
  QUOTED: "0123"
  "NULL": null
---
apiVersion: v1
kind: Secret
metadata: {name: db}
stringData:
  PASSWORD: hunter2 of default
`

func TestOpenSOPS(t *testing.T) {
	t.Parallel()
	h := newSOPSHost(t)
	file := h.encrypt("db.yaml", secretFile)
	json := h.encrypt("db.json", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"prod"},"data":{"A":"aHVudGVyMg=="},"stringData":{"B":"hunter2 \"quoted\"\n"}}`)
	o := secrets.New(h.opt)
	for _, tt := range []struct {
		s    plan.Sealed
		want string
		err  string
	}{
		{of(file, "prod", "db", "PASSWORD"), "hunter2-is-no", ""},
		{of(file, "prod", "db", "BOTH"), "hunter2 wins", ""},
		{of(file, "prod", "db", "BINARY"), "\x00\xff\n\n", ""},
		{of(file, "prod", "db", "EMPTY"), "", ""},
		{of(file, "prod", "db", "LINES"), "hunter2\n  two\n", ""},
		{of(file, "prod", "db", "QUOTED"), "0123", ""},
		{of(file, "", "db", "PASSWORD"), "hunter2 of default", ""},
		{of(file, "default", "db", "PASSWORD"), "hunter2 of default", ""},
		{of(json, "prod", "db", "A"), "hunter2", ""},
		{of(json, "prod", "db", "B"), "hunter2 \"quoted\"\n", ""},
		{of(file, "prod", "db", "PLAIN"), "", "PLAIN of Secret prod/db in secrets/db.yaml, which sops decrypted: it is under data and not base64: write plain text under stringData"},
		{of(file, "prod", "db", "NUMBER"), "", "NUMBER of Secret prod/db in secrets/db.yaml, which sops decrypted: it is no text: put it in quotes before it is encrypted"},
		{of(file, "prod", "db", "OFF"), "no", ""}, // sops itself makes text of it
		{of(file, "prod", "db", "NULL"), "", "NULL of Secret prod/db in secrets/db.yaml, which sops decrypted: it is no text: put it in quotes before it is encrypted"},
		{of(file, "prod", "db", "NONE"), "", "NONE of Secret prod/db in secrets/db.yaml, which sops decrypted: no such key"},
		{of(file, "test", "db", "PASSWORD"), "", "PASSWORD of Secret test/db in secrets/db.yaml, which sops decrypted: no such document"},
	} {
		got, err := o.Open(t.Context(), tt.s)
		if string(got) != tt.want || fmt.Sprint(err) != cmpOr(tt.err, "<nil>") {
			t.Errorf("%s/%s %s of %s: %q, %v; want %q, %s", tt.s.Namespace, tt.s.Name, tt.s.Key, tt.s.File, got, err, tt.want, tt.err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a value is in the error: %v", err)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// A private SSH key opens what sops encrypted for it, and the key may come from
// the variables of sops.
func TestOpenSOPSWithOtherKeys(t *testing.T) {
	t.Parallel()
	h := newSOPSHost(t)
	private, public := sshKey(t, "")
	to := strings.TrimSpace(string(authorizedKey(public)))
	key := writeFile(t, t.TempDir()+"/id", private)
	path, _ := h.opt.LookupEnv("PATH")
	forHost, forSSH := h.encrypt("db.yaml", secretFile), h.encrypt("db.yaml", secretFile, to)
	config := t.TempDir()
	writeFile(t, config+"/sops/age/keys.txt", h.id.String())
	for name, tt := range map[string]struct {
		file plan.Sealed
		opt  secrets.Options
	}{
		"ssh":        {forSSH, secrets.Options{AgeKey: key, LookupEnv: h.opt.LookupEnv}},
		"a file":     {forHost, secrets.Options{LookupEnv: lookup(map[string]string{"PATH": path, "SOPS_AGE_KEY_FILE": h.opt.AgeKey})}},
		"a variable": {forHost, secrets.Options{LookupEnv: lookup(map[string]string{"PATH": path, "SOPS_AGE_KEY": h.id.String()})}},
		"a place":    {forHost, secrets.Options{LookupEnv: lookup(map[string]string{"PATH": path, "XDG_CONFIG_HOME": config})}},
	} {
		got, err := secrets.New(tt.opt).Open(t.Context(), of(tt.file, "prod", "db", "BOTH"))
		if err != nil || string(got) != "hunter2 wins" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestOpenSOPSRefuses(t *testing.T) {
	t.Parallel()
	h := newSOPSHost(t)
	file := h.encrypt("db.yaml", secretFile)
	change := func(old, new string) plan.Sealed {
		s := file
		s.Data = regexp.MustCompile(old).ReplaceAll(s.Data, []byte(new))
		if bytes.Equal(s.Data, file.Data) {
			t.Fatalf("nothing in the file is %s", old)
		}
		return s
	}
	cut := func(n int) plan.Sealed {
		s := file
		s.Data = s.Data[:n]
		return s
	}
	single := h.encrypt("db.yaml", "kind: Secret\nmetadata: {name: db}\nstringData: {BOTH: hunter2}\n")
	head := func(s plan.Sealed, before string) plan.Sealed {
		s.Data = s.Data[:bytes.Index(s.Data, []byte(before))]
		return s
	}
	const prefix = "decrypt secrets/db.yaml with sops: "
	for name, tt := range map[string]struct {
		s    plan.Sealed
		want string // the begin
	}{
		"another key":        {h.encrypt("db.yaml", secretFile, newIdentity(t).Recipient().String()), prefix + "exit status 128: Failed to get the data key required to decrypt the SOPS file. Group 0: FAILED age1"},
		"a broken MAC":       {change(`name: db`, "name: db2"), prefix + "the file was changed after it was encrypted (MAC mismatch): edit it with sops edit"},
		"a key gone":         {change(`(?m)^    PASSWORD: .*\n`, ""), prefix + "the file was changed after it was encrypted (MAC mismatch): edit it with sops edit"},
		"a value changed":    {change(`(BOTH: ENC\[AES256_GCM,data:)....`, "${1}AAAA"), prefix + "a value in the file was changed after it was encrypted: edit it with sops edit"},
		"values swapped":     {change(`(?s)BOTH: (ENC\S*)(.*)EMPTY: ""`, "BOTH: ${1}${2}EMPTY: ${1}"), prefix + "a value in the file was changed after it was encrypted: edit it with sops edit"},
		"cut in the values":  {cut(bytes.Index(file.Data, []byte("stringData:")) + 20), prefix + "a value in the file is not encrypted, or not completely: edit it with sops edit"},
		"cut in a value":     {cut(bytes.Index(file.Data, []byte("BOTH: ENC[")) + 40), prefix + "a value in the file is not encrypted, or not completely: edit it with sops edit"},
		"cut before the key": {head(single, "sops:"), prefix + "exit status 1: sops metadata not found"},
		"cut in the key":     {head(single, "-----END AGE"), prefix + "exit status 1: "},
		"a plain value":      {change("stringData:\n", "stringData:\n    NEW: hunter2 the third\n"), prefix + "a value in the file is not encrypted, or not completely: edit it with sops edit"},
		"a plain number":     {change("stringData:\n", "stringData:\n    NEW: 1234567\n"), prefix + "exit status "},
		"not encrypted":      {plan.Sealed{Format: plan.SealedSOPS, Data: []byte(secretFile), File: "secrets/db.yaml"}, prefix + "exit status 1: sops metadata not found"},
		"no YAML":            {plan.Sealed{Format: plan.SealedSOPS, Data: []byte("hunter2: }{"), File: "secrets/db.yaml"}, prefix + "the file is no YAML or JSON, or a part of it is missing"},
		"empty":              {plan.Sealed{Format: plan.SealedSOPS, File: "secrets/db.yaml"}, prefix + "exit status 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := secrets.New(h.opt).Open(t.Context(), of(tt.s, "prod", "db", "BOTH"))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || got != nil {
				t.Fatalf("Open: %q, error\n%v, want\n%s", got, err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "1234567") || strings.Contains(err.Error(), h.id.String()[16:]) || regexp.MustCompile("[0-9A-F]{40}").MatchString(err.Error()) {
				t.Errorf("a value, a key, or a digest of values is in the error: %v", err)
			}
			if strings.ContainsAny(err.Error(), "\n\t") || len(err.Error()) > 1200 {
				t.Errorf("not one short line: %q", err)
			}
		})
	}
}

func TestOpenSOPSWithoutProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, dir+"/sops", "not executable")
	for _, path := range []string{"", dir, ".", "relative:" + dir} {
		opt := secrets.Options{LookupEnv: lookup(map[string]string{"PATH": path})}
		_, err := secrets.New(opt).Open(t.Context(), plan.Sealed{Format: plan.SealedSOPS, File: "secrets/db.yaml"})
		want := "decrypt secrets/db.yaml with sops: the program sops is not in PATH: install it from https://github.com/getsops/sops/releases, or encrypt value by value with age, under encryptedData"
		if err == nil || err.Error() != want {
			t.Errorf("PATH %q: error %v", path, err)
		}
	}
}

// fakeSOPS is a script in the place of sops, for what a real one does seldom.
func fakeSOPS(t *testing.T, script string, env map[string]string) secrets.Options {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(writeFile(t, dir+"/sops", "#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"PATH": dir + ":" + os.Getenv("PATH")}
	for name, v := range env {
		all[name] = v
	}
	return secrets.Options{LookupEnv: lookup(all)}
}

func TestOpenSOPSBounds(t *testing.T) {
	t.Parallel()
	s := plan.Sealed{Format: plan.SealedSOPS, Data: []byte("x: in the clear"), File: "db.yaml", Name: "db", Key: "K"}
	const doc = "kind: Secret\nmetadata: {name: db}\nstringData:\n  K: "
	for name, tt := range map[string]struct {
		script, want string
	}{
		"too much":         {"yes hunter2 | head -c 20000000", "decrypt db.yaml with sops: it prints more than 8388608 bytes"},
		"a large value":    {"printf '" + doc + "'; head -c 1048577 /dev/zero | tr '\\0' x", "K of Secret default/db is larger than 1048576 bytes"},
		"a lot of errors":  {"yes hunter1 | head -c 20000000 >&2; exit 3", "decrypt db.yaml with sops: exit status 3: hunter1 hunter1"},
		"silent":           {"exit 4", "decrypt db.yaml with sops: exit status 4"},
		"killed":           {"kill -KILL $$", "decrypt db.yaml with sops: signal: killed"},
		"no documents":     {"echo '{hunter2'", "decrypt db.yaml with sops: what it decrypted is no file of Secret documents"},
		"no Secret":        {"echo 'kind: [hunter2]'; echo ---; echo hunter2", "K of Secret default/db in db.yaml, which sops decrypted: no such document"},
		"no map":           {"echo 'kind: Secret'; echo 'data: [hunter2]'", "decrypt db.yaml with sops: what it decrypted is no file of Secret documents"},
		"bombs":            {"printf 'kind: Secret\\nmetadata: {name: db}\\ndata: &a\\n  K: {x: *a}\\n'", "K of Secret default/db in db.yaml, which sops decrypted: it is no text: put it in quotes before it is encrypted"},
		"what it may say":  {`printf 'line\n  | \033[2Jtwo AGE-SECRET-KEY-1QQQQ %s tok-en-1 \377' $(printf %064d 7) >&2; exit 5`, "decrypt db.yaml with sops: exit status 5: line ?[2Jtwo [redacted] [redacted] [redacted] ?"},
		"wants a password": {`read -r x </dev/tty && echo "kind: Secret" || exit 6`, "decrypt db.yaml with sops: exit status "},
		"of the file":      {"printf 'what is in\n    | the clear' >&2; exit 7", "decrypt db.yaml with sops: exit status 7: what is [redacted]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := fakeSOPS(t, tt.script, map[string]string{"VAULT_TOKEN": "tok-en-1"})
			_, err := secrets.New(opt).Open(t.Context(), s)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || len(err.Error()) > 1200 || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %.1500v, want %s", err, tt.want)
			}
		})
	}
}

// What takes too long is ended, with all that it has started.
func TestOpenSOPSDeadline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := fakeSOPS(t, "echo $$ >"+dir+"/pids; sleep 1000 & echo $! >>"+dir+"/pids; wait", nil)
	opt.Timeout = 300 * time.Millisecond
	s := plan.Sealed{Format: plan.SealedSOPS, File: "db.yaml", Data: []byte("x")}
	_, err := secrets.New(opt).Open(t.Context(), s)
	if want := "decrypt db.yaml with sops: it is not done after 300ms"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	b, err := os.ReadFile(dir + "/pids")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(b)) {
		for end := time.Now().Add(20 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %s is left", pid)
			}
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	opt.Timeout = time.Hour
	o := secrets.New(opt)
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if _, err := o.Open(ctx, s); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of the context", err)
			}
		})
	}
	cancel()
	waiting.Wait()
}

// A run that was cancelled says nothing about the file.
func TestOpenSOPSAfterCancel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := fakeSOPS(t, "echo >>"+dir+"/begun; until [ -e "+dir+"/go ]; do sleep 0.02; done; printf 'kind: Secret\nmetadata: {name: db}\nstringData: {K: v}\n'", nil)
	o := secrets.New(opt)
	s := plan.Sealed{Format: plan.SealedSOPS, File: "db.yaml", Name: "db", Key: "K", Data: []byte("x")}
	ctx, cancel := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() {
		if _, err := o.Open(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir + "/begun"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("sops did not start")
		}
	}
	cancel()
	first.Wait()
	writeFile(t, dir+"/go", "")
	if got, err := o.Open(t.Context(), s); err != nil || string(got) != "v" {
		t.Errorf("Open: %q, %v", got, err)
	}
}

// A configuration where we are is about how to encrypt, and may be anybody's.
func TestOpenSOPSWithoutConfiguration(t *testing.T) {
	h := newSOPSHost(t)
	file := h.encrypt("db.yaml", secretFile)
	dir := t.TempDir()
	writeFile(t, dir+"/.sops.yaml", "{{{")
	t.Chdir(dir)
	if got, err := secrets.New(h.opt).Open(t.Context(), of(file, "prod", "db", "BOTH")); err != nil || string(got) != "hunter2 wins" {
		t.Errorf("Open: %q, %v", got, err)
	}
}

func alive(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

// One run of sops serves all values of a file, and all who ask.
func TestOpenSOPSOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opt := fakeSOPS(t, "echo run >>"+dir+"/runs; printf 'kind: Secret\nmetadata: {name: db}\nstringData: {A: \"1\", B: \"2\"}\n'", nil)
	o := secrets.New(opt)
	var all sync.WaitGroup
	for i := range 20 {
		key, want := "A", "1"
		if i%2 == 1 {
			key, want = "B", "2"
		}
		all.Go(func() {
			s := plan.Sealed{Format: plan.SealedSOPS, File: "db.yaml", Name: "db", Key: key, Data: []byte("x")}
			if got, err := o.Open(t.Context(), s); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", key, got, err)
			}
		})
	}
	all.Wait()
	if b, err := os.ReadFile(dir + "/runs"); err != nil || string(b) != "run\n" {
		t.Errorf("sops ran %d times (%v)", bytes.Count(b, []byte("\n")), err)
	}
}

// Of the operator's environment sops gets what it needs, and nothing else.
func TestOpenSOPSEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := map[string]string{"HOME": "/home/op", "AWS_REGION": "eu", "VAULT_TOKEN": "tok", "SOPS_AGE_KEY": "k", "SOPS_AGE_KEY_CMD": "c", "LD_PRELOAD": "/x.so", "TMPDIR": "/x", "RECONCILE_VAR": "x"}
	opt := fakeSOPS(t, "cat /proc/$$/environ >"+dir+"/environ; cut -d ' ' -f 6 /proc/$$/stat >"+dir+"/session; echo $$ >>"+dir+"/session; exit 1", env)
	path, _ := opt.LookupEnv("PATH")
	key := keyFile(t, newIdentity(t))
	for flag, want := range map[string][]string{
		"":  {"AWS_REGION=eu", "HOME=/home/op", "PATH=" + path, "SOPS_AGE_KEY=k", "SOPS_AGE_KEY_CMD=c", "VAULT_TOKEN=tok"},
		key: {"AWS_REGION=eu", "HOME=/home/op", "PATH=" + path, "SOPS_AGE_KEY_FILE=" + key, "VAULT_TOKEN=tok"},
	} {
		opt.AgeKey = flag
		_, _ = secrets.New(opt).Open(t.Context(), plan.Sealed{Format: plan.SealedSOPS, File: "db.yaml", Data: []byte("x")})
		b, err := os.ReadFile(dir + "/environ")
		if err != nil {
			t.Fatal(err)
		}
		session, err := os.ReadFile(dir + "/session")
		if ids := strings.Fields(string(session)); err != nil || len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("it runs in session %q (%v), where there may be a terminal", ids, err)
		}
		got := strings.FieldsFunc(string(b), func(r rune) bool { return r == 0 })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("--age-key %q (-want +got)\n%s", flag, diff)
		}
	}
}
