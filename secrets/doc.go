// SPDX-License-Identifier: Apache-2.0

// Package secrets opens the values of Secret documents: those that age encrypted
// with its library, whole files with the sops program. It is what an adapter of a
// runtime calls right before a container needs a value:
//
//	opener := secrets.New(secrets.Options{AgeKey: "/etc/reconcile/age.key", LookupEnv: os.LookupEnv})
//	value, err := opener.Open(ctx, sealed)
//
// A value is in memory only, ours and for a moment that of sops: never in a file,
// an argument, a log or an error. It changes nothing.
package secrets
