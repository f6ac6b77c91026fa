// SPDX-License-Identifier: Apache-2.0

package podmantest_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/specgen"

	"reconcile/podman/podmantest"
)

func TestMain(m *testing.M) { podmantest.Main(m) }

// run runs a container to its end and returns what it printed.
func run(t *testing.T, image string, command ...string) string {
	t.Helper()
	conn := podmantest.Conn(t)
	s := specgen.NewSpecGenerator(image, false)
	s.Command = command
	s.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
	c, err := containers.CreateWithSpec(conn, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := containers.Remove(conn, c.ID, new(containers.RemoveOptions).WithForce(true)); err != nil {
			t.Error(err)
		}
	})
	if err := containers.Start(conn, c.ID, nil); err != nil {
		t.Fatal(err)
	}
	code, err := containers.Wait(conn, c.ID, new(containers.WaitOptions).WithConditions([]string{"exited"}).WithInterval("5ms"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 100)
	if err := containers.Logs(conn, c.ID, new(containers.LogOptions).WithStdout(true).WithStderr(true), out, out); err != nil {
		t.Fatal(err)
	}
	close(out)
	var text strings.Builder
	for line := range out {
		text.WriteString(line)
	}
	if code != 0 {
		t.Fatalf("exit %d: %s", code, text.String())
	}
	return text.String()
}

func TestToolImage(t *testing.T) {
	image := podmantest.Image(t, "lab-tool", podmantest.ImageOptions{Changes: []string{"ENV NAME=x"}})
	if got := run(t, image, "/bin/tool", "env", "NAME"); got != "NAME=x\n" {
		t.Errorf("env NAME: got %q", got)
	}
}

func TestBusyboxImage(t *testing.T) {
	image := podmantest.Image(t, "lab-busybox", podmantest.ImageOptions{
		Busybox: true, NoTool: true, Files: map[string]string{"/etc/motd": "hello\n"},
	})
	if got := run(t, image, "/bin/sh", "-c", "cat /etc/motd | tr h j"); got != "jello\n" {
		t.Errorf("got %q", got)
	}
}

func TestRegistry(t *testing.T) {
	r := podmantest.Registry(t)
	ref, digest := r.Push(t, "app:1", podmantest.ImageOptions{})
	if !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("digest %q", digest)
	}
	repo, _, _ := strings.Cut(ref, ":1@")
	repo = strings.TrimSuffix(repo, ":1")
	ids, err := images.Pull(podmantest.Conn(t), repo+"@"+digest, new(images.PullOptions).WithQuiet(true))
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, ids[0], "/bin/tool", "echo", "pulled"); got != "pulled\n" {
		t.Errorf("got %q", got)
	}
}

// TestOtherPodman: a podman that a test starts shares the service's storage.
func TestOtherPodman(t *testing.T) {
	image := podmantest.Image(t, "lab-shared", podmantest.ImageOptions{})
	out, err := exec.Command("podman", "images", "--format", "{{.Repository}}").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), strings.TrimSuffix(image, ":latest")) {
		t.Errorf("podman images: %q does not list %s", out, image)
	}
}
