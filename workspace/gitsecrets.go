// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"reconcile/reconcile/plan"
	"reconcile/schema"
)

// gitSecretKeys are what a Secret document may say of how a repository is asked
// for.
func gitSecretKeys() []string {
	return []string{"username", "password", "token", "ssh-privatekey", "known_hosts"}
}

// useSecret has a context be asked for with the Secret document that its secretRef
// names. Where the workspace has none, the name is that of a secret of the host.
func (t *Tree) useSecret(c *gitContext, q *GitRequest) bool {
	ref := c.src.SecretRef
	doc, ok := t.secretDocument(c.namespace, ref.V)
	if !ref.IsSet() || !ok {
		return true
	}
	name := displayName(doc)
	s, decoded := doc.Object.(*schema.Secret)
	if doc.Invalid || !decoded {
		t.blockContext(c, ref.Pos, plan.CodeInvalid, summaryContext, "", "the context %s: the Secret %s at %s has errors", c.name, name, doc.Pos)
		return false
	}
	if t.policy.denyPlaintext && !s.SOPS && len(s.Plain) > 0 {
		t.blockContext(c, ref.Pos, plan.CodePolicy, summaryPolicy, "encrypt it, or keep it in the host's secret store",
			"the context %s: the Secret %s is in plain text%s", c.name, name, forbids(t.policy.plaintextAt))
		return false
	}
	keys := t.sealedForGit(doc, s)
	if len(keys) == 0 {
		t.blockContext(c, ref.Pos, plan.CodePending, summaryContext, "give it username and password, token, or ssh-privatekey",
			"the context %s: the Secret %s at %s has no key that a repository can be asked for with", c.name, name, doc.Pos)
		return false
	}
	q.SecretRef, q.Sealed = namespaceOf(doc)+"/"+ref.V, &GitSecret{Keys: keys}
	return true
}

// secretDocument returns the first Secret of a name.
func (t *Tree) secretDocument(namespace, name string) (schema.Document, bool) {
	for _, doc := range t.documents {
		if doc.Kind == schema.KindSecret && namespaceOf(doc) == namespace && doc.Meta.Name.V == name {
			return doc, true
		}
	}
	return schema.Document{}, false
}

// sealedForGit are the values of a Secret that matter here.
func (t *Tree) sealedForGit(doc schema.Document, s *schema.Secret) map[string]plan.Sealed {
	keys := map[string]plan.Sealed{}
	for _, key := range gitSecretKeys() {
		if v, ok := t.sealedValue(doc, s, key); ok {
			keys[key] = v
		}
	}
	return keys
}
