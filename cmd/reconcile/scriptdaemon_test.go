// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// httpCmd asks the daemon whose stderr is in a file until the answer has the
// code and matches: http [-d DATA] [-H 'NAME: VALUE']… CODE PATH FILE [REGEXP].
// With data it posts. The answer is the standard output.
func httpCmd(ts *testscript.TestScript, neg bool, args []string) {
	header, method, data := http.Header{}, http.MethodGet, ""
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-d" {
			method, data = http.MethodPost, args[1]
		} else {
			name, value, _ := strings.Cut(args[1], ": ")
			header.Set(name, value)
		}
		args = args[2:]
	}
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: http [-d data] [-H header]... code path file [regexp]")
	}
	re := regexp.MustCompile("(?m)" + strings.Join(args[3:], ""))
	var got string
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		code, body, err := askListener(ts.MkAbs(args[2]), method, args[1], header, data)
		got = fmt.Sprintf("%d %v\n%s", code, err, body)
		if fmt.Sprint(code) == args[0] && re.MatchString(body) {
			fmt.Fprint(ts.Stdout(), body)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never answered so; last: %s", got)
		}
	}
}

var listeningAt = regexp.MustCompile(`(?m)^listening on (http://\S+)$`)

func askListener(stderr, method, path string, header http.Header, data string) (int, string, error) {
	b, err := os.ReadFile(stderr)
	if err != nil {
		return 0, "", err
	}
	at := listeningAt.FindSubmatch(b)
	if at == nil {
		return 0, "", fmt.Errorf("it does not listen:\n%s", b)
	}
	req, err := http.NewRequest(method, string(at[1])+path, strings.NewReader(data))
	if err != nil {
		return 0, "", err
	}
	req.Header = header
	req.Host = header.Get("Host")
	req.Close = true
	client := &http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

var hooksAt = regexp.MustCompile(`(?m)^webhooks on (http://\S+)$`)

// deliverCmd sends a webhook of the generic form, signed with a secret, to the
// daemon whose stderr is in a file, and checks the answer: deliver SECRET CODE
// FILE
func deliverCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: deliver secret code file")
	}
	at := hooksAt.FindStringSubmatch(ts.ReadFile(args[2]))
	if at == nil {
		ts.Fatalf("there is no listener for webhooks")
	}
	body := `{"ref":"refs/heads/main"}`
	mac := hmac.New(sha256.New, []byte(args[0]))
	io.WriteString(mac, body)
	req, err := http.NewRequest(http.MethodPost, at[1], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Reconcile-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	client := &http.Client{Timeout: 10 * time.Second}
	res, err := client.Do(req)
	ts.Check(err)
	res.Body.Close()
	if fmt.Sprint(res.StatusCode) != args[1] {
		ts.Fatalf("it answered %s", res.Status)
	}
}

// systemdCmd is systemd's end of a socket, which $NOTIFY_SOCKET names from then
// on, with a watchdog of a fifth of a second. What it is told goes to a file:
// systemd FILE
func systemdCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: systemd file")
	}
	socket := ts.MkAbs("notify.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			fmt.Fprintf(f, "%s\n", b[:n])
		}
	}()
	ts.Defer(func() {
		c.Close()
		<-done
		f.Close()
	})
	ts.Setenv("NOTIFY_SOCKET", socket)
	ts.Setenv("WATCHDOG_USEC", "200000")
}

// signalCmd signals the script's background commands: signal HUP|TERM
func signalCmd(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}
	if neg || len(args) != 1 || signals[args[0]] == 0 {
		ts.Fatalf("usage: signal HUP|TERM")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
}
