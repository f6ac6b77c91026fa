// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// sendCmd sends one request, as it is, to the daemon whose stderr is in a file, and
// prints what it answers: send [-fill MIB] [-chunked] FILE 'METHOD PATH' HEADER… ["" BODY…]
//
// Header and body are lines, as they are sent; \xHH is that byte. Host, Connection
// and the length of the body are added. With -fill so much follows the body, and
// with -chunked its length is not told. Of a long answer only the length is printed.
func sendCmd(ts *testscript.TestScript, neg bool, args []string) {
	fill, chunked := 0, false
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		switch args[0] {
		case "-chunked":
			chunked = true
		case "-fill":
			args = args[1:]
			n, err := strconv.Atoi(args[0])
			ts.Check(err)
			fill = n << 20
		}
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: send [-fill mib] [-chunked] file 'method path' header... [\"\" body...]")
	}
	daemon, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at := listeningAt.FindSubmatch(daemon)
	if at == nil {
		ts.Fatalf("it does not listen:\n%s", daemon)
	}
	address := strings.TrimPrefix(string(at[1]), "http://")
	head, body := requestText(address, args[1:], fill, chunked)
	c, err := net.Dial("tcp", address)
	ts.Check(err)
	defer c.Close()
	ts.Check(c.SetDeadline(time.Now().Add(5 * time.Minute)))
	sent := make(chan struct{})
	go func() { // who rejects a request does not read all of it
		defer close(sent)
		_, _ = io.Copy(c, io.MultiReader(strings.NewReader(head), body))
	}()
	ts.Check(printAnswer(ts.Stdout(), c))
	c.Close()
	<-sent
}

var escapedByte = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// requestText is a request of lines, the first of which is METHOD PATH.
func requestText(address string, lines []string, fill int, chunked bool) (head string, body io.Reader) {
	unescape := func(s string) string {
		return escapedByte.ReplaceAllStringFunc(s, func(x string) string {
			b, _ := hex.DecodeString(x[2:]) // the expression has two digits
			return string(b)
		})
	}
	var text []string
	for i, line := range lines {
		if line == "" {
			lines, text = lines[:i], lines[i+1:]
			break
		}
	}
	content := []byte(unescape(strings.Join(text, "\n")))
	content = append(content, bytes.Repeat([]byte("x"), fill)...)
	var b strings.Builder
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", unescape(lines[0]), address)
	for _, line := range lines[1:] {
		b.WriteString(unescape(line) + "\r\n")
	}
	if chunked {
		return b.String() + "Transfer-Encoding: chunked\r\n\r\n", chunks(content)
	}
	if len(content) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(content))
	}
	return b.String() + "\r\n", bytes.NewReader(content)
}

// chunks is a content in chunks of 64 KiB.
func chunks(content []byte) io.Reader {
	var out []io.Reader
	for len(content) > 0 {
		n := min(len(content), 64<<10)
		out = append(out, strings.NewReader(fmt.Sprintf("%x\r\n", n)), bytes.NewReader(content[:n]), strings.NewReader("\r\n"))
		content = content[n:]
	}
	return io.MultiReader(append(out, strings.NewReader("0\r\n\r\n"))...)
}

// printAnswer prints status, header, body and trailer of an answer. What the body
// lacks is printed in its place.
func printAnswer(to io.Writer, from io.Reader) error {
	res, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Fprintln(to, res.Status)
	if err := res.Header.Write(newlines{to}); err != nil {
		return err
	}
	fmt.Fprintln(to)
	var body bytes.Buffer
	n, err := io.CopyN(&body, res.Body, 64<<10)
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, res.Body)
		n += rest
	}
	if n <= int64(body.Len()) {
		fmt.Fprintf(to, "%s\n", body.Bytes())
	} else {
		fmt.Fprintf(to, "(%d bytes)\n", n)
	}
	if err != nil && err != io.EOF {
		fmt.Fprintf(to, "(and then: %v)\n", err)
	}
	return res.Trailer.Write(newlines{to})
}

// newlines leaves out carriage returns.
type newlines struct{ to io.Writer }

func (w newlines) Write(p []byte) (int, error) {
	_, err := w.to.Write(bytes.ReplaceAll(p, []byte("\r"), nil))
	return len(p), err
}
