// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// name is that of a Secret document.
type name struct{ namespace, name string }

func nameOf(namespace, of string) name { return name{cmp.Or(namespace, "default"), of} }

func (n name) String() string { return n.namespace + "/" + n.name }

// documents are the values of a file in clear.
type documents map[name]map[string]opened

// opened is a value, or why it is none.
type opened struct {
	data []byte
	err  error
}

func (d documents) value(of name, key string) ([]byte, error) {
	doc, ok := d[of]
	if !ok {
		return nil, errors.New("no such document")
	}
	v, ok := doc[key]
	if !ok {
		return nil, errors.New("no such key")
	}
	return v.data, v.err
}

// secretDocument is what is read of a decrypted document.
type secretDocument struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name      string `yaml:"name"`
		Namespace string `yaml:"namespace"`
	} `yaml:"metadata"`
	Data       map[string]yaml.Node `yaml:"data"`
	StringData map[string]yaml.Node `yaml:"stringData"`
}

// errDocuments stands for what the parser says, which may quote values.
var errDocuments = errors.New("what it decrypted is no file of Secret documents")

// parseDocuments reads the Secret documents of a YAML file in clear. Of two with one
// name the first counts.
func parseDocuments(src []byte) (documents, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, errDocuments
	}
	all := documents{}
	for {
		var n yaml.Node
		err := loadNode(loader, &n)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, errDocuments
		}
		var kind struct {
			Kind string `yaml:"kind"`
		}
		if err := n.Decode(&kind); err != nil || kind.Kind != "Secret" {
			continue // another document, which is none of our business
		}
		var doc secretDocument
		if err := n.Decode(&doc); err != nil {
			return nil, errDocuments
		}
		if at := nameOf(doc.Metadata.Namespace, doc.Metadata.Name); all[at] == nil {
			all[at] = doc.values()
		}
	}
}

// loadNode turns a panic of the parser into an error.
func loadNode(l *yaml.Loader, n *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errDocuments
		}
	}()
	return l.Load(n)
}

// values are those of the document. As in Kubernetes, stringData wins.
func (d secretDocument) values() map[string]opened {
	all := map[string]opened{}
	for key, n := range d.Data {
		text, err := textOf(n)
		if err != nil {
			all[key] = opened{err: err}
			continue
		}
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			all[key] = opened{err: errors.New("it is under data and not base64: write plain text under stringData")}
			continue
		}
		all[key] = opened{data: data}
	}
	for key, n := range d.StringData {
		text, err := textOf(n)
		all[key] = opened{data: []byte(text), err: err}
	}
	return all
}

// textOf is the text of n. A number may have been written in another way before
// it was encrypted, so it is none.
func textOf(n yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		return "", errors.New("it is no text: put it in quotes before it is encrypted")
	}
	return n.Value, nil
}
