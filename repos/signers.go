// SPDX-License-Identifier: Apache-2.0

package repos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"
)

// Signers are the keys whose signatures count. The zero Signers are nobody.
type Signers struct {
	pgp openpgp.EntityList
	ssh []allowedSigner
}

// allowedSigner is one line of an allowed-signers file.
type allowedSigner struct {
	principals    []string // patterns; one that begins with ! excludes
	key           ssh.PublicKey
	namespaces    []string  // patterns; nil = all
	after, before time.Time // both inclusive; zero = no limit
	at            string    // file:line
}

// LoadSigners reads files of OpenPGP public keys, armored or not, and
// allowed-signers files as ssh-keygen(1) describes them. Certificate
// authorities, and options that are not known, are refused, with the place.
func LoadSigners(openPGPKeyringFiles, allowedSignersFiles []string) (*Signers, error) {
	s := &Signers{}
	for _, file := range openPGPKeyringFiles {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("load keyring: %w", err)
		}
		keys, err := readKeyring(content)
		if err != nil {
			return nil, fmt.Errorf("load keyring %s: %w", file, err)
		}
		s.pgp = append(s.pgp, keys...)
	}
	for _, file := range allowedSignersFiles {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("load allowed signers: %w", err)
		}
		if err := s.readAllowed(file, content); err != nil {
			return nil, fmt.Errorf("load allowed signers: %w", err)
		}
	}
	return s, nil
}

func readKeyring(content []byte) (openpgp.EntityList, error) {
	if !bytes.Contains(content, []byte("-----BEGIN PGP ")) {
		return checkKeyring(openpgp.ReadKeyRing(bytes.NewReader(content)))
	}
	var all openpgp.EntityList
	for r := bufio.NewReader(bytes.NewReader(content)); ; {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			return checkKeyring(all, nil)
		}
		if err != nil {
			return nil, err
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("there is a %q in it; a keyring has public keys only", block.Type)
		}
		keys, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
}

func checkKeyring(keys openpgp.EntityList, err error) (openpgp.EntityList, error) {
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	for _, k := range keys {
		if k.PrivateKey != nil {
			return nil, errors.New("there is a private key in it; a keyring has public keys only")
		}
	}
	return keys, nil
}

func (s *Signers) readAllowed(file string, content []byte) error {
	found := false
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		a, err := parseAllowed(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		a.at = fmt.Sprintf("%s:%d", file, i+1)
		s.ssh = append(s.ssh, a)
		found = true
	}
	if !found {
		return fmt.Errorf("%s: there is no key in it", file)
	}
	return nil
}

// parseAllowed reads a line: principals, options, key type, key, comment.
func parseAllowed(line string) (allowedSigner, error) {
	principals, rest, err := firstField(line)
	if err != nil {
		return allowedSigner{}, err
	}
	a := allowedSigner{principals: splitPatterns(principals)}
	if len(a.principals) == 0 {
		return allowedSigner{}, errors.New("it begins with the signer's name, such as ada@example.org")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return allowedSigner{}, errors.New("there is no ssh key after the name; a line is: NAME [OPTIONS] KEYTYPE KEY")
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return allowedSigner{}, errors.New("it is a certificate; give the key itself")
	}
	a.key = key
	for _, o := range options {
		if err := a.option(o); err != nil {
			return allowedSigner{}, err
		}
	}
	return a, nil
}

func (a *allowedSigner) option(option string) error {
	name, value, has := strings.Cut(option, "=")
	value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
	var err error
	switch name = strings.ToLower(name); {
	case name == "cert-authority":
		return errors.New("cert-authority is not supported: commits are checked against keys, so give the signers' own")
	case name == "namespaces" && has:
		if a.namespaces = splitPatterns(value); len(a.namespaces) == 0 {
			err = errors.New("namespaces: none is given")
		}
	case name == "valid-after" && has:
		a.after, err = parseTimestamp(name, value)
	case name == "valid-before" && has:
		a.before, err = parseTimestamp(name, value)
	default:
		err = fmt.Errorf("unknown option %q", name)
	}
	return err
}

// parseTimestamp reads YYYYMMDD or YYYYMMDDHHMM[SS], in local time unless a Z
// follows.
func parseTimestamp(option, value string) (time.Time, error) {
	digits, zone := value, time.Local
	if d, ok := strings.CutSuffix(strings.ToUpper(value), "Z"); ok {
		digits, zone = d, time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) != len(layout) {
			continue
		}
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is no time; write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC", option, value)
}

// firstField splits at the first white space; the field may be in double
// quotes.
func firstField(line string) (field, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		field, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return "", "", errors.New("a quote is not closed")
		}
		return field, strings.TrimSpace(rest), nil
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return "", "", errors.New("there is no ssh key after the name; a line is: NAME [OPTIONS] KEYTYPE KEY")
	}
	return line[:i], strings.TrimSpace(line[i:]), nil
}

func splitPatterns(list string) []string {
	var patterns []string
	for p := range strings.SplitSeq(list, ",") {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}

// matchesAny is OpenSSH's pattern list: one pattern has to match, and none that
// begins with an exclamation mark.
func matchesAny(patterns []string, s string) bool {
	found := false
	for _, p := range patterns {
		p, not := strings.CutPrefix(p, "!")
		if !matchPattern(p, s) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// matchPattern knows * and ? and nothing else.
func matchPattern(pattern, s string) bool {
	// Slashes are like any other character here, and brackets stand for
	// themselves.
	quote := strings.NewReplacer("/", "\x00", "[", `\[`, `\`, `\\`)
	ok, err := path.Match(quote.Replace(pattern), strings.ReplaceAll(s, "/", "\x00"))
	return ok && err == nil
}
