// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"reconcile/schema"
)

// defaultAgent is the Agent of a Task that names none.
const defaultAgent = "default"

// What makes it another run of a Task: its own spec as it was decoded, with
// references and not what they lead to. The names are part of what is hashed, and
// a field with its zero value is not, so that a new field changes no key.
type (
	keyForm struct {
		Description string        `json:"description,omitempty"`
		AgentRef    string        `json:"agentRef"`
		Contexts    []keyContext  `json:"contexts,omitempty"`
		Human       *keyHuman     `json:"humanInTheLoop,omitempty"`
		Timeout     time.Duration `json:"timeout,omitempty"`
	}
	keyHuman struct {
		Enabled   bool  `json:"enabled"`
		KeepAlive int64 `json:"keepAliveSeconds"`
	}
	keyContext struct {
		Name      string        `json:"name,omitempty"`
		Namespace string        `json:"namespace,omitempty"`
		MountPath string        `json:"mountPath,omitempty"`
		Type      string        `json:"type,omitempty"`
		Inline    *string       `json:"inline,omitempty"`
		ConfigMap *keyConfigMap `json:"configMap,omitempty"`
		Git       *keyGit       `json:"git,omitempty"`
	}
	keyConfigMap struct {
		Name     string `json:"name"`
		Key      string `json:"key,omitempty"`
		Optional bool   `json:"optional,omitempty"`
	}
	keyGit struct {
		Repository string `json:"repository"`
		Path       string `json:"path,omitempty"`
		Ref        string `json:"ref,omitempty"`
		Depth      *int64 `json:"depth,omitempty"`
		SecretRef  string `json:"secretRef,omitempty"`
		Submodules bool   `json:"recurseSubmodules,omitempty"`
	}
)

// runKey is the key of a Task: 12 hex digits.
func runKey(spec schema.TaskSpec) string {
	form := keyForm{
		Description: spec.Description.V,
		AgentRef:    cmp.Or(spec.AgentRef.V, defaultAgent),
		Timeout:     spec.Timeout,
	}
	if h := spec.HumanInTheLoop; h != nil {
		form.Human = &keyHuman{h.Enabled, h.KeepAliveSeconds}
	}
	for _, m := range spec.Contexts {
		form.Contexts = append(form.Contexts, keyOfContext(m))
	}
	text, err := json.Marshal(form)
	if err != nil {
		panic(err) // texts and numbers always have a JSON form
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func keyOfContext(m schema.ContextMount) keyContext {
	k := keyContext{Name: m.Name.V, Namespace: m.Namespace.V, MountPath: m.MountPath.V}
	if m.Source == nil {
		return k
	}
	k.Type = string(m.Source.Type)
	if x := m.Source.Inline; x != nil {
		k.Inline = &x.V
	}
	if x := m.Source.ConfigMap; x != nil {
		k.ConfigMap = &keyConfigMap{x.Name.V, x.Key.V, x.Optional}
	}
	if x := m.Source.Git; x != nil {
		k.Git = &keyGit{x.Repository.V, x.Path.V, x.Ref.V, nil, x.SecretRef.V, x.RecurseSubmodules}
		if x.Depth.IsSet() {
			k.Git.Depth = &x.Depth.V
		}
	}
	return k
}
