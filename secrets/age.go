// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// openAge opens an armored message.
func (o *Opener) openAge(message []byte) ([]byte, error) {
	identities, err := o.opt.identities()
	if err != nil {
		return nil, err
	}
	message = bytes.TrimSpace(message)
	if !bytes.HasPrefix(message, []byte(armor.Header)) {
		return nil, errors.New("it is no armored message: encrypt it with age --armor")
	}
	clear, err := age.Decrypt(armor.NewReader(bytes.NewReader(message)), identities...)
	if none, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		if slices.Contains(none.StanzaTypes, "scrypt") {
			return nil, errors.New("it is encrypted with a passphrase, for which nobody can be asked: encrypt it for the key of this host")
		}
		return nil, errors.New("it is encrypted for other keys than those of this host")
	}
	if err != nil {
		return nil, errDamaged
	}
	value, err := io.ReadAll(io.LimitReader(clear, maxValue+1))
	if err != nil {
		return nil, errDamaged
	}
	return value, nil
}

// errDamaged stands for what age says, which is about the format.
var errDamaged = errors.New("it is damaged: a part of it is missing, or was changed")
