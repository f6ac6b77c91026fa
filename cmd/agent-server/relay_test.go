// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"reconcile/helper"
)

// Connections are passed on with the address that they come from, both ways, and
// with their ends; the relay ends when nobody listens any more.
func TestRelay(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	host, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).AddrPort().Port()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- runRelay(port, socket) }()
	control, err := host.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(control).ReadString('\n'); line != "listening\n" || err != nil {
		t.Fatalf("it says %q, %v", line, err)
	}

	client, err := net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := host.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if from, err := helper.ParseRelayLine(line); err != nil || from.From.String() != client.LocalAddr().String() {
		t.Errorf("it comes from %v, %v; want %v", from.From, err, client.LocalAddr())
	}
	question := strings.Repeat("question ", 100_000)
	go func() {
		_, _ = io.WriteString(client, question)
		_ = client.(*net.TCPConn).CloseWrite()
	}()
	if got, err := io.ReadAll(in); string(got) != question || err != nil {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	if _, err := io.WriteString(conn, "answer"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("the answer is %q, %v", got, err)
	}
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := runRelay(port, socket+"x"); err == nil || !strings.HasPrefix(err.Error(), "reach reconcile: ") {
		t.Errorf("without reconcile: %v", err)
	}
}
