// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// supervisor is systemd's end of the socket.
func supervisor(t *testing.T, name string) func() string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return func() string {
		b := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// notifier reads an environment as a daemon does.
func notifier(t *testing.T, env map[string]string) *sdNotify {
	t.Helper()
	for k, v := range env {
		t.Setenv(k, v)
	}
	a := &app{lookupEnv: os.LookupEnv}
	return a.newSDNotify(func(err error) { t.Logf("warned: %v", err) })
}

func TestSDNotify(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@reconcile-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			next := supervisor(t, socket)
			n := notifier(t, map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())})
			if n.watchdog != 3*time.Second {
				t.Errorf("watchdog %v", n.watchdog)
			}
			for _, v := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
				if _, set := os.LookupEnv(v); set {
					t.Errorf("children would inherit %s", v)
				}
			}
			n.send("READY=1", sdStatus("pass 1 (start): converged\n\tsecond \x1b[1m line"))
			if diff := cmp.Diff("READY=1\nSTATUS=pass 1 (start): converged \\u{9}second \\u{1b}[1m line", next()); diff != "" {
				t.Errorf("message (-want +got)\n%s", diff)
			}
			n.send(reloading()...)
			got := next()
			if !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || len(got) < 30 {
				t.Errorf("reloading: %q", got)
			}
		})
	}
}

func TestSDNotifyWithoutSystemd(t *testing.T) {
	n := notifier(t, map[string]string{"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
	n.send("READY=1")
	if n.watchdog != 0 {
		t.Errorf("the watchdog of another process: %v", n.watchdog)
	}
	warned := 0
	gone := &sdNotify{socket: filepath.Join(t.TempDir(), "gone"), warn: func(error) { warned++ }}
	gone.send("READY=1")
	gone.send("STOPPING=1")
	if warned != 1 {
		t.Errorf("warned %d times", warned)
	}
}

// The watchdog is fed at half its time, and not for a loop that hangs.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, fed, asked := time.Now(), []time.Duration{}, 0
		n := &sdNotify{watchdog: 10 * time.Second}
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.keepWatchdog(ctx, func(ctx context.Context) error {
				asked++
				switch asked {
				case 3: // hangs
					<-ctx.Done()
					return ctx.Err()
				case 4:
					return errors.New("ended")
				}
				return nil
			}, func() { fed = append(fed, time.Since(began)) })
		}()
		time.Sleep(26 * time.Second)
		cancel()
		<-done
		if diff := cmp.Diff([]time.Duration{0, 5 * time.Second, 20 * time.Second, 25 * time.Second}, fed); diff != "" {
			t.Errorf("fed (-want +got)\n%s", diff)
		}
	})
}
