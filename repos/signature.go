// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// ErrSignature is wrapped by the errors of Verify that say why a commit is not
// to be trusted. Others say that it could not be read.
var ErrSignature = errors.New("signature refused")

// Signer is who signed a commit.
type Signer struct {
	Kind     string // openpgp or ssh
	Key      string // fingerprint; of OpenPGP that of the primary key, in hexadecimal digits
	Identity string // the key's user ID, or the name in the allowed-signers file
}

// Verify checks the signature of a commit that Fetch or Look returned for src.
// What counts is the commit's own signature, also where src names an annotated
// tag that is signed.
func (s *Store) Verify(src Source, commit string, signers *Signers) (Signer, error) {
	repo, err := s.repo(src, commit)
	if err != nil {
		return Signer{}, fmt.Errorf("verify commit %s: %w", commit, err)
	}
	return repo.Verify(commit, signers)
}

// Verify checks the signature of the commit hash.
func (r *Repo) Verify(hash string, signers *Signers) (Signer, error) {
	var content []byte
	err := r.again(func(g *git.Repository) (err error) {
		content, err = commitContent(g, plumbing.NewHash(hash))
		return err
	})
	if err != nil {
		return Signer{}, fmt.Errorf("verify commit %s: %w", hash, err)
	}
	signer, err := signers.Verify(content)
	if err != nil {
		return Signer{}, fmt.Errorf("verify commit %s: %w", hash, err)
	}
	return signer, nil
}

// commitContent returns the bytes that git hashes, without the object's header.
func commitContent(g *git.Repository, hash plumbing.Hash) (content []byte, err error) {
	o, err := g.Storer.EncodedObject(plumbing.CommitObject, hash)
	if err != nil {
		return nil, err
	}
	reader, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if content, err = io.ReadAll(reader); err != nil {
		return nil, err
	}
	// go-git does not check what it reads from loose objects.
	if plumbing.ComputeHash(plumbing.CommitObject, content) != hash {
		return nil, fmt.Errorf("%w: the commit's content does not match its hash", ErrSignature)
	}
	return content, nil
}

// Verify checks the signature in a commit object's content. A key has to be
// valid when the commit was signed, not now: what was trusted stays so when a
// key expires. Who holds an expired key can therefore set a clock back; a key
// that is no longer trusted is revoked, or taken out of the files.
//
// Its errors wrap [ErrSignature].
func (s *Signers) Verify(commit []byte) (Signer, error) {
	signer, err := s.verify(commit)
	if err != nil {
		return Signer{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return signer, nil
}

func (s *Signers) verify(commit []byte) (Signer, error) {
	signed, signature, err := splitSignature(commit)
	if err != nil {
		return Signer{}, err
	}
	switch text := string(bytes.TrimSpace(signature)); {
	case len(signature) == 0:
		return Signer{}, errors.New("the commit is not signed")
	case strings.Count(text, "-----BEGIN ") != 1:
		return Signer{}, errors.New("the commit has more than one signature, or none that can be read")
	case strings.HasPrefix(text, "-----BEGIN PGP "):
		return s.verifyPGP(signed, signature)
	case strings.HasPrefix(text, "-----BEGIN SSH SIGNATURE-----"):
		return s.verifySSH(signed, signature, committed(signed))
	case strings.HasPrefix(text, "-----BEGIN SIGNED MESSAGE-----"):
		return Signer{}, errors.New("the commit has an X.509 signature; OpenPGP and ssh signatures can be checked")
	}
	return Signer{}, errors.New("the commit has a signature of an unknown kind; OpenPGP and ssh signatures can be checked")
}

// splitSignature takes the signature out of the commit's headers, as git does:
// what is left, byte for byte, is what was signed. A signature for the form that
// the commit would have with SHA-256 is neither.
func splitSignature(commit []byte) (signed, signature []byte, err error) {
	headers := 0
	var to *[]byte // what the header is part of that a line may continue
	var other []byte
	body := commit
	for len(body) > 0 {
		line := body[:len(body):len(body)]
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line = body[:i+1]
		}
		if len(line) == 1 { // the message follows
			break
		}
		body = body[len(line):]
		if line[0] != ' ' {
			to = &signed
			if value, ok := bytes.CutPrefix(line, []byte("gpgsig ")); ok {
				headers++
				to, line = &signature, value
			} else if bytes.HasPrefix(line, []byte("gpgsig-sha256 ")) {
				to = &other
			}
		} else if to == &signature {
			line = line[1:]
		} else if to == nil {
			to = &signed
		}
		*to = append(*to, line...)
	}
	if headers > 1 {
		return nil, nil, errors.New("the commit has more than one signature")
	}
	return append(signed, body...), signature, nil
}

// committed returns the committer's time; zero when there is none.
func committed(commit []byte) time.Time {
	line := header(commit, "committer ")
	_, when, ok := strings.Cut(line, "> ")
	if !ok {
		return time.Time{}
	}
	seconds, _, _ := strings.Cut(when, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// committerEmail is "" when there is none.
func committerEmail(commit []byte) string {
	_, rest, _ := strings.Cut(header(commit, "committer "), "<")
	email, _, _ := strings.Cut(rest, ">")
	return email
}

func header(commit []byte, name string) string {
	for line := range bytes.Lines(commit) {
		if len(line) == 1 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.TrimSuffix(string(value), "\n")
		}
	}
	return ""
}

// weak are digests for which other content can be made.
var weak = map[crypto.Hash]string{crypto.MD5: "MD5", crypto.SHA1: "SHA-1", crypto.RIPEMD160: "RIPEMD-160"}

func (s *Signers) verifyPGP(signed, signature []byte) (Signer, error) {
	sig, err := parsePGP(signature)
	if err != nil {
		return Signer{}, fmt.Errorf("the OpenPGP signature cannot be read: %w", err)
	}
	if name := weak[sig.Hash]; name != "" {
		return Signer{}, fmt.Errorf("the OpenPGP signature is made with %s, which can be forged", name)
	}
	if sig.SigType != packet.SigTypeBinary {
		return Signer{}, errors.New("the OpenPGP signature is not one of a commit")
	}
	if sig.SigExpired(time.Now()) {
		return Signer{}, errors.New("the OpenPGP signature has expired")
	}
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return Signer{}, fmt.Errorf("the OpenPGP signature cannot be read: %w", err)
	}
	then := &packet.Config{Time: func() time.Time { return sig.CreationTime }}
	who, err := openpgp.CheckDetachedSignature(s.pgp, bytes.NewReader(signed), block.Body, then)
	key := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return Signer{}, fmt.Errorf("the commit is signed with the unknown OpenPGP key %s", key)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return Signer{}, fmt.Errorf("the OpenPGP key %s had expired when the commit was signed", key)
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return Signer{}, fmt.Errorf("the OpenPGP key %s is revoked", key)
	case err != nil:
		return Signer{}, fmt.Errorf("the signature does not fit the commit: OpenPGP key %s: %w", key, err)
	}
	signer := Signer{Kind: "openpgp", Key: fmt.Sprintf("%X", who.PrimaryKey.Fingerprint)}
	if id := who.PrimaryIdentity(); id != nil {
		signer.Identity = id.Name
	}
	return signer, nil
}

// parsePGP reads an armored signature, which has to be a single one.
func parsePGP(signature []byte) (*packet.Signature, error) {
	block, err := armor.Decode(bytes.NewReader(signature))
	if err != nil {
		return nil, err
	}
	if block.Type != openpgp.SignatureType {
		return nil, fmt.Errorf("it is a %q", block.Type)
	}
	packets := packet.NewReader(block.Body)
	p, err := packets.Next()
	if err != nil {
		return nil, err
	}
	sig, ok := p.(*packet.Signature)
	if !ok || sig.IssuerKeyId == nil {
		return nil, errors.New("it does not say by whom it is")
	}
	if _, err := packets.Next(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return sig, nil
}

// commitNamespace is what ssh signatures of git are for; one made for anything
// else does not count.
const commitNamespace = "git"

func (s *Signers) verifySSH(signed, signature []byte, when time.Time) (Signer, error) {
	sig, err := parseSSH(signature)
	if err != nil {
		return Signer{}, fmt.Errorf("the ssh signature cannot be read: %w", err)
	}
	key := ssh.FingerprintSHA256(sig.PublicKey)
	if _, ok := sig.PublicKey.(*ssh.Certificate); ok {
		return Signer{}, errors.New("the commit is signed with an ssh certificate; only keys can be checked")
	}
	if sig.Namespace != commitNamespace {
		return Signer{}, fmt.Errorf("the ssh signature was made for %q, not for %q", sig.Namespace, commitNamespace)
	}
	a, err := s.allowed(sig.PublicKey, when)
	if err != nil {
		return Signer{}, err
	}
	if err := sshsig.Verify(bytes.NewReader(signed), sig, a.key, sig.HashAlgorithm, commitNamespace); err != nil {
		return Signer{}, fmt.Errorf("the signature does not fit the commit: ssh key %s: %w", key, err)
	}
	return Signer{Kind: "ssh", Key: key, Identity: a.identity(committerEmail(signed))}, nil
}

func parseSSH(signature []byte) (*sshsig.Signature, error) {
	block, rest := pem.Decode(signature)
	if block == nil || block.Type != sshsig.PEMType {
		return nil, errors.New("it is not armored")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("something follows it")
	}
	return sshsig.ParseSignature(block.Bytes)
}

// allowed returns the line that lets the key sign commits at that time; the
// error is about the last line that has the key.
func (s *Signers) allowed(key ssh.PublicKey, when time.Time) (allowedSigner, error) {
	err := fmt.Errorf("the commit is signed with the unknown ssh key %s", ssh.FingerprintSHA256(key))
	wire := key.Marshal()
	for _, a := range s.ssh {
		if !bytes.Equal(a.key.Marshal(), wire) {
			continue
		}
		switch {
		case a.namespaces != nil && !matchesAny(a.namespaces, commitNamespace):
			err = fmt.Errorf("the ssh key %s may not sign commits (namespaces at %s)", ssh.FingerprintSHA256(key), a.at)
		case !a.after.IsZero() && when.Before(a.after):
			err = fmt.Errorf("the ssh key %s was not valid yet when the commit was made (valid-after at %s)", ssh.FingerprintSHA256(key), a.at)
		case !a.before.IsZero() && when.After(a.before):
			err = fmt.Errorf("the ssh key %s had expired when the commit was made (valid-before at %s)", ssh.FingerprintSHA256(key), a.at)
		default:
			return a, nil
		}
	}
	return allowedSigner{}, err
}

// identity is the committer's address where the line covers it, else what the
// line says.
func (a allowedSigner) identity(email string) string {
	if email != "" && matchesAny(a.principals, email) {
		return email
	}
	return strings.Join(a.principals, ",")
}
