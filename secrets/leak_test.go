// SPDX-License-Identifier: Apache-2.0

package secrets_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"reconcile/secrets"
)

func authorizedKey(k ssh.PublicKey) []byte { return ssh.MarshalAuthorizedKey(k) }

// temporary is what there is in the folders for temporary files. sops does not get
// our TMPDIR.
func temporary(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"} {
		list, err := filepath.Glob(dir + "/*")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// While values are opened, and afterwards, they are in no argument or environment
// of any process, nor in any new file of the folder for temporary ones.
func TestValuesAreNowhere(t *testing.T) {
	h := newSOPSHost(t)
	before := map[string]bool{}
	for _, path := range temporary(t) {
		before[path] = true
	}
	planted := rand.Text()
	var leaks [][]byte
	for _, form := range []string{planted, base64.StdEncoding.EncodeToString([]byte(planted))[:30], fmt.Sprintf("%x", planted)} {
		leaks = append(leaks, []byte(form))
	}
	leaked := func(b []byte) bool {
		for _, l := range leaks {
			if bytes.Contains(b, l) {
				return true
			}
		}
		return false
	}
	var found sync.Map // where it was seen
	look := func() (seen int) {
		list, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range list {
			for _, what := range []string{"/cmdline", "/environ"} {
				b, err := os.ReadFile(dir + what)
				if err == nil && what == "/cmdline" && bytes.Contains(b, []byte("--input-type\x00yaml\x00--output-type")) {
					seen++
				}
				if leaked(b) {
					found.Store(dir+what, true)
				}
			}
		}
		for _, path := range temporary(t) {
			if before[path] {
				continue
			}
			_ = filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return nil // it is gone, or nobody's business
				}
				if info, err := d.Info(); err != nil || info.Size() > 1<<20 {
					return nil
				}
				if b, err := os.ReadFile(path); err == nil && leaked(b) {
					found.Store(path, true)
				}
				return nil
			})
		}
		return seen
	}

	stop := make(chan struct{})
	seen := 0
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			seen += look()
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  PASSWORD: " + planted + "\n  N: "
	o := secrets.New(h.opt)
	for i := range 6 {
		s := of(h.encrypt("db.yaml", text+fmt.Sprintf("\"%d\"\n", i)), "", "db", "PASSWORD")
		if got, err := o.Open(t.Context(), s); err != nil || string(got) != planted {
			t.Fatalf("Open: %q, %v", got, err)
		}
		s.Data = bytes.Replace(s.Data, []byte("name: db"), []byte("name: dc"), 1)
		if _, err := o.Open(t.Context(), s); err == nil || leaked([]byte(err.Error())) {
			t.Errorf("a changed file: error %v", err)
		}
		a := sealed(encrypt(t, planted, h.id.Recipient()))
		if got, err := o.Open(t.Context(), a); err != nil || string(got) != planted {
			t.Fatalf("Open: %q, %v", got, err)
		}
	}
	close(stop)
	watcher.Wait()
	look()
	found.Range(func(where, _ any) bool {
		t.Errorf("the value was in %s", where)
		return true
	})
	if seen == 0 {
		t.Error("no run of sops was seen, so nothing was checked")
	}
	if s := fmt.Sprintf("%v %+v %#v", o, *o, h.opt); strings.Contains(s, planted) {
		t.Errorf("the value is printed with its opener")
	}
}
