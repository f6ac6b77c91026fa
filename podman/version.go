// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"fmt"

	"github.com/containers/podman/v5/pkg/bindings"
)

// version of the service's API, which is the version of Podman.
type version struct{ major, minor, patch uint64 }

// oldest is the oldest Podman that the runtime is tested with.
var oldest = version{4, 3, 1}

func serverVersion(conn context.Context) (version, error) {
	v := bindings.ServiceVersion(conn)
	if v.Major == 0 {
		return version{}, fmt.Errorf("the service does not say which Podman it is")
	}
	return version{v.Major, v.Minor, v.Patch}, nil
}

func (v version) less(o version) bool {
	if v.major != o.major {
		return v.major < o.major
	}
	if v.minor != o.minor {
		return v.minor < o.minor
	}
	return v.patch < o.patch
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch) }
