// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"io"
	"time"

	"reconcile/reconcile/plan"
)

type DigestMemory struct{ TTL time.Duration }

type identity struct{}

type imageMemory struct{}

type locks struct{}

type LogOptions struct {
	Follow     bool
	Tail       int       // last lines only; 0 = all
	Since      time.Time // zero = from the start
	Timestamps bool
}

var errSoon = errors.New("not there yet")

func (r *Runtime) Observe(ctx context.Context, d plan.Desired) (plan.Observed, error) {
	return plan.Observed{}, errSoon
}

func (r *Runtime) Do(ctx context.Context, s plan.Step, d plan.Desired) (plan.Object, error) {
	return plan.Object{}, errSoon
}

func (r *Runtime) Logs(ctx context.Context, handle string, opt LogOptions, stdout, stderr io.Writer) error {
	return errSoon
}
