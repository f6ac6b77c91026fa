// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Package sops pins the sops program that tests of encrypted files run.
package sops

import _ "github.com/getsops/sops/v3/cmd/sops"
