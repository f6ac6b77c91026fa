// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/domain/entities/types"
)

// TestEndedUnseen: a run of which Podman did not see the end is told from one that
// ended by itself, also where that was before Podman said that it had started.
func TestEndedUnseen(t *testing.T) {
	booted, err := hostBooted(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(booted); age < 0 || age > 100*365*24*time.Hour {
		t.Fatalf("the host was started %v ago", age)
	}
	now := time.Now().Unix()
	for _, tt := range []struct {
		name            string
		started, exited int64
		remote, want    bool
	}{
		{"ran and ended", now - 10, now, false, false},
		{"ended at once", now, now, false, false},
		{"ended before it was said to have started", now, now - 1, false, false},
		{"never started", 0, 0, false, false},
		{"never ended", now, time.Time{}.Unix(), false, true},
		{"the run before ended", now, now - 60, false, true},
		{"the run before ended, elsewhere", now, now - 60, true, true},
		{"ran before the host was started", booted.Unix() - 10, booted.Unix() - 10, false, true},
		{"ran long ago, elsewhere", booted.Unix() - 10, booted.Unix() - 10, true, false},
	} {
		r := &Runtime{remote: tt.remote}
		if got := r.endedUnseen(types.ListContainer{StartedAt: tt.started, ExitedAt: tt.exited}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if _, err := bootTime("cpu 1 2\n", time.Now()); err == nil {
		t.Error("a boot time is read where there is none")
	}
}
