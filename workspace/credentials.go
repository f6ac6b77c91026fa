// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"maps"
	"path"
	"slices"

	"reconcile/reconcile/plan"
	"reconcile/schema"
)

const (
	summaryBadVariable = "invalid environment variable"
	summaryVariable    = "environment variable given twice"
)

// credentials are what an Agent gives to its Tasks of secrets.
type credentials struct {
	env     []plan.EnvVar
	from    []string // references to secrets of which each key is a variable
	files   []secretFile
	places  map[string]string // as in plan.Resource
	blocked []plan.Reason
}

// secretFile is a credential with a mountPath.
type secretFile struct {
	path  string // absolute
	pos   schema.Pos
	what  string // for messages
	files []plan.SecretFile
}

// credentialResolver works out the credentials of one Agent.
type credentialResolver struct {
	*resolver
	namespace, workspaceDir string
	out                     credentials
	given                   map[string]schema.Str // variable → the credential that gives it
	all                     map[string]schema.Str // secret of the host with all keys as variables → credential
}

// credentials resolves those of an Agent. A Secret document of the workspace goes
// before the secrets of the host.
func (r *resolver) credentials(list []schema.Credential, namespace, workspaceDir string) credentials {
	c := credentialResolver{
		resolver: r, namespace: namespace, workspaceDir: workspaceDir,
		out:   credentials{places: map[string]string{}},
		given: map[string]schema.Str{}, all: map[string]schema.Str{},
	}
	for _, k := range list { // variables with a name of their own, so that others know them
		if k.Env.IsSet() {
			c.given[k.Env.V] = schema.Str{V: k.Name.V, Pos: k.Env.Pos}
		}
	}
	for _, k := range list {
		if k.Secret.IsSet() {
			c.add(k)
		}
	}
	return c.out
}

func (c *credentialResolver) block(pos schema.Pos, code plan.Code, summary, hint, format string, args ...any) {
	c.out.blocked = append(c.out.blocked, c.blockOnce(pos, code, summary, hint, format, args...))
}

func (c *credentialResolver) add(k schema.Credential) {
	id := refID(schema.KindSecret, c.namespace, k.Secret.V)
	doc, isDoc := c.objects.byID[id]
	secret, _ := doc.Object.(*schema.Secret)
	if isDoc {
		unusable := c.unusable(doc)
		if reason, refused := c.objects.plaintext[id]; refused {
			unusable = append(slices.Clone(unusable), reason)
		}
		c.out.blocked = append(c.out.blocked, unusable...)
		if secret == nil || len(unusable) > 0 {
			return
		}
	}
	switch {
	case k.Key.IsSet():
		ref := "key:" + k.Secret.V + "/" + k.Key.V
		if isDoc {
			ref = c.sealed(doc, secret, k.Key.V)
		}
		if ref == "" {
			c.block(k.Key.Pos, plan.CodePending, summaryNoReference, nearest(k.Key.V, secretKeys(secret)),
				"the Secret %s at %s has no key %s", displayName(doc), doc.Pos, k.Key.V)
			return
		}
		c.one(k, ref)
	case isDoc:
		c.allOf(k, doc, secret)
	default:
		c.allOfHost(k)
	}
}

// one gives a single value.
func (c *credentialResolver) one(k schema.Credential, ref string) {
	if k.Env.IsSet() {
		c.variable(k.Env.V, ref, k.Env.Pos)
	}
	if k.MountPath.IsSet() {
		at := placedAt(c.workspaceDir, k.MountPath.V)
		c.file(k, at, plan.SecretFile{Ref: ref, Target: at, Mode: uint32(k.FileMode.Perm())})
	}
}

// allOf gives all keys of a document: as a folder, or as variables.
func (c *credentialResolver) allOf(k schema.Credential, doc schema.Document, secret *schema.Secret) {
	var files []plan.SecretFile
	at := placedAt(c.workspaceDir, k.MountPath.V)
	for _, key := range secretKeys(secret) {
		ref := c.sealed(doc, secret, key)
		if k.MountPath.IsSet() {
			files = append(files, plan.SecretFile{Ref: ref, Target: path.Join(at, key), Mode: uint32(k.FileMode.Perm())})
			continue
		}
		if c.mayName(k, key) {
			c.variable(key, ref, k.Secret.Pos)
		}
	}
	if k.MountPath.IsSet() {
		c.file(k, at, files...)
	}
}

// mayName checks that a key can be a variable, and that it is none yet.
func (c *credentialResolver) mayName(k schema.Credential, key string) bool {
	const hint = "give secretRef.key and env, or a mountPath"
	pos := k.Secret.Pos
	switch first, again := c.given[key]; {
	case !schema.IsEnvName(key):
		c.block(pos, plan.CodeInvalid, summaryBadVariable, hint, "the key %q of the Secret %s cannot name an environment variable", key, k.Secret.V)
		return false
	case schema.IsTaskEnv(key):
		c.block(pos, plan.CodeInvalid, summaryBadVariable, hint, "the key %q of the Secret %s would be a variable that is set for every task", key, k.Secret.V)
		return false
	case again:
		c.block(pos, plan.CodeInvalid, summaryVariable, hint, "%s, a key of the Secret %s, is already set by the credential %s at %s", key, k.Secret.V, first.V, first.Pos)
		return false
	}
	c.given[key] = schema.Str{V: k.Name.V, Pos: pos}
	return true
}

// allOfHost gives all keys of a secret of the host, which are not known here.
func (c *credentialResolver) allOfHost(k schema.Credential) {
	ref := "keys:" + k.Secret.V
	if k.MountPath.IsSet() {
		at := placedAt(c.workspaceDir, k.MountPath.V)
		c.file(k, at, plan.SecretFile{Ref: ref, Target: at, Mode: uint32(k.FileMode.Perm())})
		return
	}
	if first, again := c.all[ref]; again {
		c.block(k.Secret.Pos, plan.CodeInvalid, summaryVariable, "remove one of them", "all keys of the secret %s are already variables by the credential %s at %s", k.Secret.V, first.V, first.Pos)
		return
	}
	c.all[ref] = schema.Str{V: k.Name.V, Pos: k.Secret.Pos}
	c.out.from = append(c.out.from, ref)
	c.out.places["envFrom."+ref] = k.Secret.Pos.String()
}

func (c *credentialResolver) variable(name, ref string, pos schema.Pos) {
	c.out.env = append(c.out.env, plan.EnvVar{Name: name, Secret: ref})
	c.out.places["env."+name] = pos.String()
}

func (c *credentialResolver) file(k schema.Credential, at string, files ...plan.SecretFile) {
	c.out.files = append(c.out.files, secretFile{path: at, pos: k.MountPath.Pos, what: "credential " + k.Name.V, files: files})
	for _, f := range files {
		c.out.places["secretFiles."+f.Target] = k.MountPath.Pos.String()
	}
}

// secretKeys are the keys of a document, sorted. Those of a document that sops
// decrypts are not encrypted.
func secretKeys(s *schema.Secret) []string {
	keys := slices.Concat(slices.Collect(maps.Keys(s.Plain)), slices.Collect(maps.Keys(s.Encrypted)), s.SOPSKeys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// sealed keeps a value of a document for whoever makes containers, and returns
// the reference to it; "" = there is no such key.
func (c *credentialResolver) sealed(doc schema.Document, s *schema.Secret, key string) string {
	v, ok := c.tree.sealedValue(doc, s, key)
	if !ok {
		return ""
	}
	if _, read := c.tree.sopsFiles[doc.Pos.File]; v.Format == plan.SealedSOPS && !read {
		c.block(doc.Pos, plan.CodeInvalid, "invalid secret", "put it into a YAML or JSON file", "sops can decrypt the Secret %s in a file of YAML or JSON only", displayName(doc))
	}
	ref := "doc:" + v.Namespace + "/" + v.Name + "/" + key
	c.objects.sealed[ref] = v
	return ref
}

// sealedValue is one value of a document as it is written; false = there is no such
// key.
func (t *Tree) sealedValue(doc schema.Document, s *schema.Secret, key string) (plan.Sealed, bool) {
	v := plan.Sealed{Namespace: namespaceOf(doc), Name: doc.Meta.Name.V, Key: key}
	plain, isPlain := s.Plain[key]
	armored, isAge := s.Encrypted[key]
	switch {
	case slices.Contains(s.SOPSKeys, key):
		v.Format, v.Data, v.File = plan.SealedSOPS, t.sopsFiles[doc.Pos.File], path.Base(doc.Pos.File)
	case isPlain:
		v.Format, v.Data = plan.SealedPlain, plain
	case isAge:
		v.Format, v.Data = plan.SealedAge, []byte(armored)
	default:
		return plan.Sealed{}, false
	}
	return v, true
}
