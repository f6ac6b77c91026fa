// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// errNoSecret: nothing has that name.
var errNoSecret = errors.New("no such secret")

// missingSecret is an errNoSecret in other words.
type missingSecret struct{ error }

func (missingSecret) Is(target error) bool { return target == errNoSecret }
func (e missingSecret) Unwrap() error      { return e.error }

// heldSecrets are the secrets of Podman that are not ours, by name.
type heldSecrets map[string]*types.SecretInfoReport

// secretPart is one value that a secret reference stands for.
type secretPart struct {
	ref   string                  // what stands for this value alone
	key   string                  // of a secret with several values, else ""
	info  *types.SecretInfoReport // Podman has it
	value []byte                  // else
	// fromFile: the value is a file of the secrets directory, byte for byte.
	fromFile bool
}

// secretName is what a reference is called in messages: what people have named.
func secretName(ref string) string {
	_, name, _ := strings.Cut(ref, ":")
	return name
}

func (p secretPart) name() string { return secretName(p.ref) }

// variable is the value for a variable, without the one newline at the end of a
// file, since editors and echo put it there.
func (p secretPart) variable() []byte {
	if n := len(p.value); p.fromFile && n > 0 && p.value[n-1] == '\n' {
		return p.value[:n-1]
	}
	return p.value
}

// secretParts resolves a secret reference, see plan.Input: into one part, and for
// "keys:NAME" into one for each key, sorted.
func (r *Runtime) secretParts(ctx context.Context, ref string, held heldSecrets, sealed map[string]plan.Sealed) ([]secretPart, error) {
	scheme, name, _ := strings.Cut(ref, ":")
	one := secretPart{ref: ref}
	switch scheme {
	case "keys":
		return r.keyParts(name, held)
	case "key":
		part, err := r.keyPart(ref, name, held)
		return []secretPart{part}, err
	case "doc":
		value, err := r.openSealed(ctx, ref, sealed)
		one.value = value
		return []secretPart{one}, err
	case "secret":
		if one.info = held[name]; one.info != nil {
			return []secretPart{one}, nil
		}
	}
	value, err := r.secretValue(ref)
	one.value = value
	return []secretPart{one}, err
}

// openSealed returns one value of a Secret document.
func (r *Runtime) openSealed(ctx context.Context, ref string, sealed map[string]plan.Sealed) ([]byte, error) {
	name := strings.TrimPrefix(ref, "doc:")
	s, ok := sealed[ref]
	switch {
	case !ok:
		return nil, missingSecret{fmt.Errorf("the workspace has no secret %s", name)}
	case r.opt.Unseal == nil:
		return nil, missingSecret{fmt.Errorf("secret %s: nothing opens the values of Secret documents here", name)}
	}
	value, err := r.opt.Unseal(ctx, s)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, missingSecret{fmt.Errorf("secret %s cannot be opened: %w", name, err)}
	}
	return value, nil
}

// secretFact says what a secret reference stands for now.
func (o *observation) secretFact(ctx context.Context, ref string) plan.Fact {
	if o.secretErr != nil && ofPodman(ref) {
		return plan.Fact{State: plan.FactUnknown, Detail: o.secretErr.Error()}
	}
	parts, err := o.r.secretParts(ctx, ref, o.secretInfos, o.d.Sealed)
	switch {
	case errors.Is(err, errNoSecret):
		return plan.Fact{State: plan.FactMissing, Detail: err.Error()}
	case err != nil:
		return plan.Fact{State: plan.FactUnknown, Detail: err.Error()}
	}
	value := fingerprintOf(o.r.opt.HostKey, ref, parts)
	if value == "" {
		return plan.Fact{State: plan.FactUnknown, Detail: "there is no host key yet to compare secrets with"}
	}
	return plan.Fact{State: plan.FactKnown, Value: value}
}

// ofPodman reports whether a reference is looked up among Podman's secrets.
func ofPodman(ref string) bool {
	scheme, _, _ := strings.Cut(ref, ":")
	return slices.Contains([]string{"secret", "key", "keys"}, scheme)
}

// fingerprintOf stands for all that a reference stands for; "" = there is no key
// that it could be told with.
func fingerprintOf(key []byte, ref string, parts []secretPart) string {
	one := len(parts) == 1 && parts[0].ref == ref
	switch {
	case one && parts[0].info != nil:
		return podmanFingerprint(parts[0].info)
	case key == nil && !slices.ContainsFunc(parts, func(p secretPart) bool { return p.info != nil }):
		return ""
	case one:
		return fingerprint(key, ref, parts[0].value)
	}
	var all []byte
	for _, p := range parts {
		all = fmt.Appendf(all, "%d:%s", len(p.key), p.key)
		if p.info != nil {
			all = append(all, podmanFingerprint(p.info)...)
		} else {
			all = append(fmt.Appendf(all, "%d:", len(p.value)), p.value...)
		}
	}
	if parts[0].info != nil { // nothing in it is a value
		sum := sha256.Sum256(all)
		return "podman:" + hex.EncodeToString(sum[:16])
	}
	return fingerprint(key, ref, all)
}

// podmanFingerprint stands for the value of a Podman secret, which cannot be
// read back.
func podmanFingerprint(info *types.SecretInfoReport) string {
	sum := sha256.Sum256([]byte(info.ID + "\n" + info.UpdatedAt.UTC().Format("2006-01-02T15:04:05.999999999Z")))
	return "podman:" + hex.EncodeToString(sum[:16])
}

// fingerprint stands for the value of a secret on this host. The reference
// counts, so that equal secrets do not show that they are equal.
func fingerprint(key []byte, ref string, value []byte) string {
	keyID := sha256.Sum256(key)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s", len(ref), ref)
	mac.Write(value)
	return hex.EncodeToString(keyID[:4]) + ":" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// secretValue reads a secret that is a file or a variable. One newline at the
// end of a file does not belong to the value; any further one does.
func (r *Runtime) secretValue(ref string) ([]byte, error) {
	scheme, name, _ := strings.Cut(ref, ":")
	switch scheme {
	case "env":
		value, ok := r.opt.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("%w: the variable %s is not set", errNoSecret, name)
		}
		return []byte(value), nil
	case "secret":
		value, err := r.secretFile(name)
		return secretPart{value: value, fromFile: true}.variable(), err
	}
	return nil, fmt.Errorf("secret reference %q: want secret:NAME or env:NAME", ref)
}

// compareParts orders the parts of one secret.
func compareParts(a, b secretPart) int { return cmp.Compare(a.key, b.key) }
