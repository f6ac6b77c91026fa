// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/secrets"

	"reconcile/podman"
	"reconcile/podman/podmantest"
)

func TestKeepSecret(t *testing.T) {
	conn, rt, name := podmantest.Conn(t), open(t, nil), workspace(t)
	t.Cleanup(func() { _ = secrets.Remove(conn, name) })
	id := func() string {
		t.Helper()
		info, err := secrets.Inspect(conn, name, nil)
		must(t, err)
		return info.ID
	}
	s := podman.KeptSecret{Name: name, Value: []byte("one"), For: "acme/A"}
	changed, err := rt.KeepSecret(t.Context(), s)
	if err != nil || !changed {
		t.Fatalf("first: %t, %v", changed, err)
	}
	first := id()
	s.Value = []byte("two")
	if changed, err := rt.KeepSecret(t.Context(), s); err != nil || !changed || id() == first {
		t.Fatalf("rotated: %t, %v, the same secret: %t", changed, err, id() == first)
	}
	second := id()
	s.For = "acme/B"
	if _, err := rt.KeepSecret(t.Context(), s); !errors.Is(err, podman.ErrForeignSecret) || id() != second {
		t.Errorf("of another variable: %v, the same secret: %t", err, id() == second)
	}
	s.Replace, s.Value = true, []byte("three")
	if changed, err := rt.KeepSecret(t.Context(), s); err != nil || !changed {
		t.Errorf("that it refers to: %t, %v", changed, err)
	}
	info, err := secrets.Inspect(conn, name, nil)
	must(t, err)
	if got := info.Spec.Labels["reconcile.var"]; got != "acme/A" {
		t.Errorf("its label became %q", got)
	}
	third := id()
	for _, value := range []string{"", "a\x00b", strings.Repeat("x", 512000)} {
		s.Value = []byte(value)
		if _, err := rt.KeepSecret(t.Context(), s); err == nil || id() != third {
			t.Errorf("a value of %d bytes: %v, the same secret: %t", len(value), err, id() == third)
		}
	}
	s.Value = []byte(strings.Repeat("x", 511999))
	if _, err := rt.KeepSecret(t.Context(), s); err != nil {
		t.Errorf("the longest value: %v", err)
	}
	list, err := secrets.List(conn, nil)
	must(t, err)
	for _, other := range list {
		if strings.HasPrefix(other.Spec.Name, "reconcile-next-") {
			t.Errorf("what was tried first is still there: %s", other.Spec.Name)
		}
	}
}

func TestMakeEmptyImage(t *testing.T) {
	conn, rt := podmantest.Conn(t), open(t, nil)
	ref := "localhost/" + workspace(t) + ":1"
	t.Cleanup(func() { _, _ = images.Remove(conn, []string{ref}, nil) })
	for _, want := range []bool{true, false} {
		if made, err := rt.MakeEmptyImage(t.Context(), ref); err != nil || made != want {
			t.Errorf("made %t, %v; want %t", made, err, want)
		}
	}
}
