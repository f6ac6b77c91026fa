// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"reconcile/reconcile/plan"
)

// maxValue bounds a value in bytes. Podman takes less than that.
const maxValue = 1 << 20

// Options says what values are opened with.
type Options struct {
	// AgeKey is a file of age identities, or a private SSH key; "" = what sops
	// itself uses.
	AgeKey string
	// LookupEnv reads the operator's environment; nil = it is empty.
	LookupEnv func(string) (string, bool)
	// Timeout bounds a run of sops, which may have to ask a key service; 0 = 30 s.
	Timeout time.Duration
}

func (o Options) lookup(name string) string {
	if o.LookupEnv == nil {
		return ""
	}
	v, _ := o.LookupEnv(name)
	return v
}

// Opener opens values, and remembers those it has opened for as long as they are
// asked for. It may be used concurrently.
type Opener struct {
	opt  Options
	memo memo
}

// New returns an Opener. What it needs is looked for when a value is opened.
func New(opt Options) *Opener {
	opt.Timeout = cmp.Or(opt.Timeout, 30*time.Second)
	return &Opener{opt: opt, memo: newMemo()}
}

// Open returns the value of s, at most 1 MiB. An error says which value cannot be
// opened and why, and never shows anything of a value. One that was not the
// caller's doing is remembered for some seconds.
func (o *Opener) Open(ctx context.Context, s plan.Sealed) ([]byte, error) {
	value, err := o.open(ctx, s)
	switch {
	case err != nil:
		return nil, err
	case len(value) > maxValue:
		return nil, fmt.Errorf("%s is larger than %d bytes", describe(s), maxValue)
	}
	return bytes.Clone(value), nil
}

func (o *Opener) open(ctx context.Context, s plan.Sealed) ([]byte, error) {
	switch s.Format {
	case plan.SealedPlain:
		return s.Data, nil
	case plan.SealedAge:
		all, err := o.memo.open(ctx, digest(s), func(context.Context) (documents, error) {
			value, err := o.openAge(s.Data)
			return documents{{}: {"": {data: value}}}, err
		})
		if err != nil {
			return nil, fmt.Errorf("decrypt %s with age: %w", describe(s), err)
		}
		return all.value(name{}, "")
	case plan.SealedSOPS:
		all, err := o.memo.open(ctx, digest(s), func(ctx context.Context) (documents, error) { return o.openSOPS(ctx, s) })
		if err != nil {
			return nil, fmt.Errorf("decrypt %s with sops: %w", s.File, err)
		}
		value, err := all.value(nameOf(s.Namespace, s.Name), s.Key)
		if err != nil {
			return nil, fmt.Errorf("%s in %s, which sops decrypted: %w", describe(s), s.File, err)
		}
		return value, nil
	}
	return nil, fmt.Errorf("%s is encrypted in an unknown way", describe(s))
}

// describe names a value.
func describe(s plan.Sealed) string {
	return fmt.Sprintf("%s of Secret %s", s.Key, nameOf(s.Namespace, s.Name))
}

// digest is of the ciphertext, and of what else decides what becomes of it.
func digest(s plan.Sealed) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00", s.Format)
	if s.Format == plan.SealedSOPS {
		fmt.Fprintf(h, "%s\x00", inputType(s.File))
	}
	_, _ = h.Write(s.Data)
	return [sha256.Size]byte(h.Sum(nil))
}
