// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"reconcile/atomicfile"
	"reconcile/reconcile/plan"
	"reconcile/repos"
	"reconcile/schema"
)

// accepted is which commit of a git workspace counts. It is kept beside the
// checkout, so that a refused commit does not take the place of the one before.
type accepted struct {
	Commit  string    `json:"commit"`
	Refused string    `json:"refused,omitempty"` // the newest commit, which was not accepted
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since,omitzero"` // of the refusal
}

// reasons is the refusal as a plan says it; nil when nothing was refused.
func (acc accepted) reasons(origin string) []plan.Reason {
	if acc.Refused == "" {
		return nil
	}
	return []plan.Reason{{
		Code: plan.CodePolicy, Origin: origin,
		Text: fmt.Sprintf("commit %.12s is refused: %s", acc.Refused, acc.Reason),
	}}
}

// accept decides whether the commit that the remote has now may be used. keep
// writes the decision down.
func (a *app) accept(g gitWorkspace, commit string, keep bool) (accepted, error) {
	old, err := a.loadAccepted(g)
	if err != nil {
		return accepted{}, err
	}
	acc := accepted{Commit: commit}
	switch {
	case a.verify == verifySigned:
		if acc, err = a.acceptSigned(g, commit, old); err != nil {
			return accepted{}, err
		}
	case !keep && !a.dryRun && old.Refused == commit && old.Commit != "":
		acc = old // who only looks is told of what counts here
	}
	if keep && acc != old {
		err = a.saveAccepted(g, acc)
	}
	return acc, err
}

// The values of --verify.
const (
	verifyOff    = "off"
	verifySigned = "signed"
)

// acceptSigned takes a commit with a good signature, and otherwise stays with
// the one before. That one was taken under the policy of its time; who uses it
// verifies it again.
func (a *app) acceptSigned(g gitWorkspace, commit string, old accepted) (accepted, error) {
	refusal := a.verifyCommit(g.source(), commit)
	switch {
	case refusal == nil:
		return accepted{Commit: commit}, nil
	case !errors.Is(refusal, repos.ErrSignature):
		return accepted{}, refusal
	}
	reason := strings.TrimPrefix(refusal.Error(), fmt.Sprintf("verify commit %s: %s: ", commit, repos.ErrSignature))
	acc := accepted{Commit: old.Commit, Refused: commit, Reason: reason, Since: time.Now().UTC().Truncate(time.Second)}
	if old.Refused == commit {
		acc.Since = old.Since
	}
	return acc, nil
}

// verifyCommit holds a commit to the signature policy. What it refuses wraps
// [repos.ErrSignature].
func (a *app) verifyCommit(src repos.Source, commit string) error {
	if a.verify != verifySigned {
		return nil
	}
	signers, err := repos.LoadSigners(a.openPGPKeys, a.allowedSigners)
	if err != nil {
		return err
	}
	_, err = a.openStore(reachHost).Verify(src, commit, signers)
	return err
}

func (a *app) acceptedFile(g gitWorkspace) string {
	return filepath.Join(a.checkoutDir(g), "accepted.json")
}

func (a *app) loadAccepted(g gitWorkspace) (accepted, error) {
	b, err := os.ReadFile(a.acceptedFile(g))
	if errors.Is(err, fs.ErrNotExist) {
		return accepted{}, nil
	}
	if err != nil {
		return accepted{}, fmt.Errorf("read accepted commit: %w", err)
	}
	var acc accepted
	if json.Unmarshal(b, &acc) != nil {
		return accepted{}, nil // only a cache: the next accepted commit is as good
	}
	return acc, nil
}

func (a *app) saveAccepted(g gitWorkspace, acc accepted) error {
	b, err := json.MarshalIndent(acc, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.checkoutDir(g), 0o700); err != nil {
		return fmt.Errorf("keep accepted commit: %w", err)
	}
	if err := atomicfile.Write(a.acceptedFile(g), append(b, '\n'), atomicfile.Options{}); err != nil {
		return fmt.Errorf("keep accepted commit: %w", err)
	}
	return nil
}

// checkOut brings the folder that instances may mount to the commit.
func (a *app) checkOut(g gitWorkspace, files fs.FS) error {
	kept, err := repos.Checkout(files, a.checkout(g), filepath.Join(a.checkoutDir(g), "checkout.json"))
	if err != nil {
		return fmt.Errorf("check out %s: %w", g.root(), err)
	}
	for _, name := range kept {
		fmt.Fprintf(a.std.err, "warning: %s was changed in the checkout, and stays as it is there\n", escape(name))
	}
	return nil
}

// refusedError says that no commit of a workspace is accepted.
type refusedError struct {
	commit  string
	reasons []plan.Reason
}

func (e *refusedError) Error() string { return e.reasons[0].Text + "; none was accepted before" }

// refusalDiagnostics are the refusals as diagnostics.
func refusalDiagnostics(reasons []plan.Reason) schema.Diagnostics {
	var ds schema.Diagnostics
	for _, r := range reasons {
		ds = append(ds, schema.Diagnostic{
			Severity: schema.Error, Policy: true, Summary: "refused by policy", Detail: r.Text, Pos: schema.ParsePos(r.Origin),
			Hint: "sign the commit with a key of --allowed-signers or --openpgp-keys",
		})
	}
	return ds
}
