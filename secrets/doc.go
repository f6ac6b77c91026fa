// SPDX-License-Identifier: Apache-2.0

// Package secrets opens the values of Secret documents: those that age encrypted
// with its library, whole files with the sops program. A value is in memory only.
package secrets
