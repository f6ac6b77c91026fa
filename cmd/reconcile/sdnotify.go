// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// sdNotify tells systemd how the daemon is. Without systemd it does nothing. It
// is sd_notify(3): one datagram of NAME=VALUE lines a message.
type sdNotify struct {
	socket   string // "" = nobody listens; "@" begins an abstract name
	watchdog time.Duration
	warn     func(error) // told of the first failure
	failed   sync.Once
}

// newSDNotify reads what systemd said in the environment, and takes it out of
// there: it is meant for this process, and not for the service or the commands
// that it starts.
func (a *app) newSDNotify(warn func(error)) *sdNotify {
	socket, _ := a.lookupEnv("NOTIFY_SOCKET")
	usec, _ := a.lookupEnv("WATCHDOG_USEC")
	pid, forOne := a.lookupEnv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	n := &sdNotify{socket: socket, warn: warn}
	if forOne && pid != strconv.Itoa(os.Getpid()) {
		return n
	}
	if v, err := strconv.ParseInt(usec, 10, 64); err == nil && v > 0 {
		n.watchdog = time.Duration(v) * time.Microsecond
	}
	return n
}

// send sends one message; it may be called concurrently. systemd that does not listen is no reason to end: the
// first failure is reported, and that is all.
func (n *sdNotify) send(lines ...string) {
	if n.socket == "" {
		return
	}
	if err := n.write(strings.Join(lines, "\n")); err != nil {
		n.failed.Do(func() { n.warn(fmt.Errorf("tell systemd: %w", err)) })
	}
}

func (n *sdNotify) write(message string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = c.Write([]byte(message))
	return err
}

// sdStatus is a STATUS line; `systemctl status` shows it.
func sdStatus(text string) string {
	return "STATUS=" + strings.Join(strings.Fields(escape(strings.ReplaceAll(text, "\n", " "))), " ")
}

// extendTimeout asks for more time to end.
func extendTimeout(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds())
}

// reloading is the message at the beginning of a reload, which READY=1 ends.
func reloading() []string {
	lines := []string{"RELOADING=1"}
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) == nil {
		lines = append(lines, fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000))
	}
	return lines
}

// keepWatchdog feeds the watchdog at half of its time for as long as alive
// answers within the other half, until ctx ends.
func (n *sdNotify) keepWatchdog(ctx context.Context, alive func(context.Context) error, feed func()) {
	if n.watchdog == 0 {
		return
	}
	tick := time.NewTicker(n.watchdog / 2)
	defer tick.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, n.watchdog/2)
		err := alive(ask)
		cancel()
		if err == nil {
			feed()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
