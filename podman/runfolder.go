// SPDX-License-Identifier: Apache-2.0

package podman

import "regexp"

// runKey is the key of a run, see plan.Run: what its folder is named.
var runKey = regexp.MustCompile(`^[0-9a-f]{1,20}(\.[1-9][0-9]{0,8})?$`)
