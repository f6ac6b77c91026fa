// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"os"
	"testing"
)

// TestMain also makes the test binary what tests start as another process.
func TestMain(m *testing.M) {
	if os.Getenv("REPOS_TEST_HOOK") != "" {
		os.Exit(hook())
	}
	os.Exit(m.Run())
}
