// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// proof is how a delivery shows that its sender knows the secret.
type proof struct {
	header string // that holds it
	value  string
	// What a signature of the Standard Webhooks form covers beside the body.
	id, time string
}

// The headers with proofs. Each but the last two is the HMAC-SHA256 of the
// body, in hex.
const (
	headerForgejo  = "X-Forgejo-Signature"
	headerGitea    = "X-Gitea-Signature"
	headerGitHub   = "X-Hub-Signature-256" // "sha256=" before it; Gitea sends it too
	headerGeneric  = "X-Reconcile-Signature-256"
	headerStandard = "Webhook-Signature" // GitLab's signing token, and others
	headerGitLab   = "X-Gitlab-Token"    // the secret itself
)

// proofsIn returns the proofs of a delivery. A sender may give several, of
// which one may be made with a secret that is not ours: one good one is enough,
// since each shows that the secret is known.
func proofsIn(h http.Header) []proof {
	var list []proof
	for _, name := range []string{headerForgejo, headerGitea, headerGitHub, headerGeneric, headerStandard, headerGitLab} {
		if v := h.Get(name); v != "" {
			list = append(list, proof{header: name, value: v, id: h.Get("Webhook-Id"), time: h.Get("Webhook-Timestamp")})
		}
	}
	return list
}

// verify returns the first proof that holds.
func verify(proofs []proof, secret, body []byte, now time.Time) (proof, bool) {
	for _, p := range proofs {
		if p.holds(secret, body, now) {
			return p, true
		}
	}
	return proof{}, false
}

func (p proof) holds(secret, body []byte, now time.Time) bool {
	switch p.header {
	case headerGitLab:
		// Digests, so that not even the length shows in the time it takes.
		got, want := sha256.Sum256([]byte(p.value)), sha256.Sum256(secret)
		return subtle.ConstantTimeCompare(got[:], want[:]) == 1
	case headerStandard:
		return p.holdsStandard(secret, body, now)
	case headerGitHub, headerGeneric:
		digest, ok := strings.CutPrefix(p.value, "sha256=")
		return ok && equalHex(digest, secret, body)
	}
	return equalHex(p.value, secret, body)
}

func equalHex(digest string, secret, body []byte) bool {
	got, err := hex.DecodeString(digest)
	return err == nil && hmac.Equal(got, mac(secret, body))
}

// holdsStandard checks the form of standardwebhooks.com: id, time and body are
// signed, and the header has one or more "v1,BASE64".
func (p proof) holdsStandard(secret, body []byte, now time.Time) bool {
	seconds, err := strconv.ParseInt(p.time, 10, 64)
	if err != nil || p.id == "" || now.Sub(time.Unix(seconds, 0)).Abs() > maxSkew {
		return false
	}
	want := mac(standardKey(secret), []byte(p.id+"."+p.time+"."), body)
	for _, s := range strings.Fields(p.value) {
		encoded, ok := strings.CutPrefix(s, "v1,")
		if !ok {
			continue
		}
		got, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}

// standardKey is the key that a secret of the form "whsec_BASE64" stands for;
// any other secret is its own.
func standardKey(secret []byte) []byte {
	encoded, ok := bytes.CutPrefix(secret, []byte("whsec_"))
	if !ok {
		return secret
	}
	key, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || len(key) < MinSecret {
		return secret
	}
	return key
}

func mac(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// replayKeys name a delivery, so that it counts once. Where a signature covers
// the body alone, an id in a header could be changed at will, so the body
// counts as well. Bodies of GitLab can be the same twice with good reason (a
// branch that is moved to and fro), and its ids are signed or need no forging
// for who knows the token.
func replayKeys(sender string, h http.Header, p proof, body []byte) []string {
	digest := sha256.Sum256(body)
	bodyKey := "body " + hex.EncodeToString(digest[:])
	switch p.header {
	case headerStandard:
		return []string{"id " + p.id}
	case headerGitLab:
		for _, name := range []string{"Idempotency-Key", "X-Gitlab-Event-Uuid"} {
			if id := h.Get(name); id != "" {
				return []string{"id " + id}
			}
		}
		return []string{bodyKey}
	}
	keys := []string{bodyKey}
	for _, name := range deliveryHeaders[sender] {
		if id := h.Get(name); id != "" {
			keys = append(keys, "id "+id)
			break
		}
	}
	return keys
}
