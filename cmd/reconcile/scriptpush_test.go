// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"reconcile/repos/repostest"
)

// sshdCmd starts a real sshd at $SSH (ssh://USER@HOST:PORT), which git clients
// of the script may log in to, with the key $SSHKEY and the server's in $SSHKNOWN:
// sshd
func sshdCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: sshd")
	}
	s := repostest.SSH(scriptOf(ts).t)
	ts.Setenv("SSH", "ssh://"+s.User+"@"+s.Addr)
	ts.Setenv("SSHKEY", s.Key)
	ts.Setenv("SSHKNOWN", s.KnownHosts)
	ts.Setenv("GIT_SSH_COMMAND", "ssh -F /dev/null -i "+s.Key+" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile="+s.KnownHosts)
}

// forgeCmd starts a forge at $FORGE that takes commit statuses and writes a line
// for each to FILE, "COMMIT STATE DESCRIPTION": forge FILE
func forgeCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: forge file")
	}
	name := ts.MkAbs(args[0])
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var doc struct{ State, Description string }
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			err = json.NewDecoder(r.Body).Decode(&doc)
			fmt.Fprintln(f, path.Base(r.URL.Path), doc.State, doc.Description)
			f.Close()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	ts.Defer(server.Close)
	ts.Setenv("FORGE", server.URL)
}

var webhooksOn = regexp.MustCompile(`webhooks on (http://\S+)`)

// webhookCmd delivers BODY to the daemon whose stderr is in FILE, signed with
// SECRET, and expects the code; the answer is the standard output: webhook CODE
// FILE SECRET BODY
func webhookCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: webhook code file secret body")
	}
	found := webhooksOn.FindStringSubmatch(ts.ReadFile(args[1]))
	if found == nil {
		ts.Fatalf("no webhooks in %s", args[1])
	}
	m := hmac.New(sha256.New, []byte(args[2]))
	m.Write([]byte(args[3]))
	req, err := http.NewRequest(http.MethodPost, found[1], strings.NewReader(args[3]))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Reconcile-Signature-256", fmt.Sprintf("sha256=%x", m.Sum(nil)))
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	_, err = io.Copy(ts.Stdout(), res.Body)
	ts.Check(err)
	if fmt.Sprint(res.StatusCode) != args[0] {
		ts.Fatalf("it answered %s", res.Status)
	}
}
