// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"reconcile/helper"
)

const (
	// relayConns bounds the connections that are passed on at once. Others wait.
	relayConns = 1024
	// relayPause follows what could not be accepted, out of descriptors, say.
	relayPause = 50 * time.Millisecond
)

// runRelay listens at a port of all networks of the container, and passes each
// connection on to the socket, until that is not listened to any more.
func runRelay(port uint16, socket string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var d net.Dialer
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	control, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return errors.Join(fmt.Errorf("reach reconcile: %w", err), l.Close())
	}
	if _, err := io.WriteString(control, helper.RelayLine{}.String()); err != nil {
		return errors.Join(fmt.Errorf("reach reconcile: %w", err), l.Close(), control.Close())
	}
	var all sync.WaitGroup
	all.Go(func() {
		_, _ = io.Copy(io.Discard, control) // nothing is ever said to us
		stop()
	})
	all.Go(func() {
		<-ctx.Done()
		_ = l.Close()
		_ = control.Close()
	})
	room := make(chan struct{}, relayConns)
	for {
		room <- struct{}{}
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			all.Wait()
			return nil // connections end with the process
		case err != nil:
			<-room
			time.Sleep(relayPause)
			continue
		}
		go func() {
			defer func() { <-room }()
			passOn(conn, socket)
		}()
	}
}

// passOn is one connection, from its begin to its end.
func passOn(conn net.Conn, socket string) {
	defer conn.Close()
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	to, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer to.Close()
	line := helper.RelayLine{From: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	if _, err := io.WriteString(to, line.String()); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { pour(conn, to) })
	pour(to, conn)
	back.Wait()
}

// pour copies until the end, and says that it is. When nobody takes what is poured
// any more, nobody need send it either.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = from.Close()
		_ = to.Close()
		return
	}
	if w, ok := to.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
}
