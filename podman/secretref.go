// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/containers/podman/v5/pkg/domain/entities/types"

	"reconcile/reconcile/plan"
)

// maxSecret is the most that Podman keeps in one secret.
const maxSecret = 512000

// errNoSecret: nothing has that name.
var errNoSecret = errors.New("no such secret")

// secretFact says what a secret reference stands for now.
func (o *observation) secretFact(ref string) plan.Fact {
	name, ours := strings.CutPrefix(ref, "secret:")
	if ours && o.secretErr != nil {
		return plan.Fact{State: plan.FactUnknown, Detail: o.secretErr.Error()}
	}
	if info := o.secretInfos[name]; ours && info != nil {
		return plan.Fact{State: plan.FactKnown, Value: podmanFingerprint(info)}
	}
	value, err := o.r.secretValue(ref)
	switch {
	case errors.Is(err, errNoSecret):
		return plan.Fact{State: plan.FactMissing, Detail: err.Error()}
	case err != nil:
		return plan.Fact{State: plan.FactUnknown, Detail: err.Error()}
	case o.r.opt.HostKey == nil:
		return plan.Fact{State: plan.FactUnknown, Detail: "there is no host key yet to compare secrets with"}
	}
	return plan.Fact{State: plan.FactKnown, Value: fingerprint(o.r.opt.HostKey, ref, value)}
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
// end of a file does not belong to the value, since editors and echo put it
// there; any further one does.
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
		return r.secretFile(name)
	}
	return nil, fmt.Errorf("secret reference %q: want secret:NAME or env:NAME", ref)
}

func (r *Runtime) secretFile(name string) ([]byte, error) {
	if r.opt.SecretsDir == "" {
		return nil, fmt.Errorf("%w: Podman has no secret %s, and there is no secrets directory", errNoSecret, name)
	}
	missing := fmt.Errorf("%w: neither Podman nor %s has a secret %s", errNoSecret, r.opt.SecretsDir, name)
	// A Root follows no link out of the folder.
	root, err := os.OpenRoot(r.opt.SecretsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("secrets directory: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("secret %s: %s is not a regular file", name, root.Name()+"/"+name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+2))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("secret %s: longer than %d bytes", name, maxSecret)
	}
	return b, nil
}
