// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package podman5 pins the Podman 5 server that `make test-podman5` builds.
package podman5

import _ "github.com/containers/podman/v5/cmd/podman"
