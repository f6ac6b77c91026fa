// SPDX-License-Identifier: Apache-2.0

package reconciletest_test

import (
	"testing"

	"go.uber.org/goleak"

	"reconcile/reconcile/reconciletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	reconciletest.Run(t, func(t *testing.T) reconciletest.World {
		return reconciletest.New(reconciletest.Options{Owner: "owner-1", Version: "test"}).World(t)
	})
}
