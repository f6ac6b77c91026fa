// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// explain says what is wrong with a document as written, every mistake at
// once, by the JSON Schema of its kind. Nothing wrong gives nothing.
func explain(k Kind, n *Node) (Diagnostics, error) {
	schema, raw, err := compiledJSONSchema(k)
	if err != nil {
		return nil, err
	}
	err = schema.Validate(n.instance())
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil, err
	}
	e := &explainer{root: n, schema: raw}
	e.walk(invalid)
	return e.withoutConsequences(), nil
}

// instance is the value as the JSON Schema library wants it.
func (n *Node) instance() any {
	switch n.Kind {
	case NodeMap:
		m := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			m[f.Key] = f.Value.instance()
		}
		return m
	case NodeList:
		l := make([]any, len(n.Items))
		for i, x := range n.Items {
			l[i] = x.instance()
		}
		return l
	case NodeBool:
		return n.Text == "true"
	case NodeInt:
		return json.Number(n.Text)
	case NodeFloat: // in a spelling whose exact value stays small
		f, _ := strconv.ParseFloat(n.Text, 64)
		return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
	case NodeString:
		return n.Text
	}
	return nil
}

// explainer turns the errors of one validation into diagnostics.
type explainer struct {
	root   *Node
	schema any // the decoded JSON Schema
	found  []finding
}

// finding is a diagnostic with what is needed to leave out consequences.
type finding struct {
	Diagnostic
	parent  string // path of the map, for missing and unknown fields
	missing string // the missing field
	meant   string // the field that an unknown one probably means
}

// withoutConsequences drops "missing image" where "imgae" is reported in the
// same map, and returns the rest.
func (e *explainer) withoutConsequences() Diagnostics {
	var ds Diagnostics
	for _, f := range e.found {
		typo := slices.ContainsFunc(e.found, func(g finding) bool {
			return f.missing != "" && g.meant == f.missing && g.parent == f.parent
		})
		if !typo {
			ds = append(ds, f.Diagnostic)
		}
	}
	return ds
}

func (e *explainer) walk(v *jsonschema.ValidationError) {
	switch k := v.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		e.choice(v)
	case *kind.AdditionalProperties:
		e.unknown(v, k.Properties)
	case *kind.Required:
		for _, name := range k.Missing {
			e.missing(v, name)
		}
	case *kind.Type:
		e.add(v, summaryWrongType, fmt.Sprintf("expected %s, got %s", wanted(k.Want), e.got(v)), e.typeHint(v, k))
	case *kind.Pattern:
		e.add(v, patternSummary(v), e.expectation(v), "")
	default:
		if len(v.Causes) == 0 {
			e.add(v, summaryInvalid, e.expectation(v), e.valueHint(v))
			return
		}
		for _, c := range v.Causes {
			e.walk(c)
		}
	}
}

// choice explains a value that has none of several forms. Forms of another
// type than the value's are not what was meant; of the others, the one that
// fits deepest is.
func (e *explainer) choice(v *jsonschema.ValidationError) {
	here := len(v.InstanceLocation)
	var forms []*jsonschema.ValidationError
	var types []string
	for _, c := range alternatives(v) {
		if want := otherType(c); want != nil && len(c.InstanceLocation) == here {
			types = append(types, want...)
			continue
		}
		forms = append(forms, c)
	}
	if len(forms) == 0 {
		e.add(v, summaryWrongType, fmt.Sprintf("expected %s, got %s", wanted(types), e.got(v)), "")
		return
	}
	if len(forms) > 1 && e.node(v.InstanceLocation).isScalar() {
		var accepted []string
		for _, f := range forms {
			accepted = append(accepted, e.expectation(f))
		}
		e.add(v, patternSummary(forms[0]), strings.Join(slices.Compact(accepted), "; or "), e.valueHint(forms[0]))
		return
	}
	best := forms[0]
	for _, f := range forms[1:] {
		if depth(f) > depth(best) {
			best = f
		}
	}
	e.walk(best)
}

// alternatives lists the forms of a choice, with choices among forms of the
// same value and references flattened.
func alternatives(v *jsonschema.ValidationError) []*jsonschema.ValidationError {
	here := len(v.InstanceLocation)
	var out []*jsonschema.ValidationError
	for _, c := range v.Causes {
		for isReference(c) && len(c.Causes) == 1 && len(c.Causes[0].InstanceLocation) == here {
			c = c.Causes[0]
		}
		_, anyOf := c.ErrorKind.(*kind.AnyOf)
		_, oneOf := c.ErrorKind.(*kind.OneOf)
		if (anyOf || oneOf) && len(c.InstanceLocation) == here {
			out = append(out, alternatives(c)...)
			continue
		}
		out = append(out, c)
	}
	return out
}

// otherType lists the accepted types when a form failed because the value is of
// another type, also when it is a choice among values of other types.
func otherType(v *jsonschema.ValidationError) []string {
	switch k := v.ErrorKind.(type) {
	case *kind.Type:
		return k.Want
	case *kind.Enum:
		_, isText := k.Got.(string)
		wantsText := slices.ContainsFunc(k.Want, func(w any) bool { _, ok := w.(string); return ok })
		if isText && !wantsText {
			return []string{"number"}
		}
	}
	return nil
}

// patternSummary tells names from other texts.
func patternSummary(v *jsonschema.ValidationError) string {
	if _, ok := v.ErrorKind.(*kind.Pattern); ok && (strings.HasSuffix(v.SchemaURL, "/Name") || strings.HasSuffix(v.SchemaURL, "/EnvName") || strings.HasSuffix(v.SchemaURL, "/EnvText")) {
		return summaryName
	}
	return summaryInvalid
}

func isReference(v *jsonschema.ValidationError) bool {
	switch v.ErrorKind.(type) {
	case *kind.Reference, *kind.Group, *kind.AllOf, *kind.Schema:
		return true
	}
	return false
}

// depth is how far into the value a form fits.
func depth(v *jsonschema.ValidationError) int {
	if len(v.Causes) == 0 {
		return len(v.InstanceLocation)
	}
	least := math.MaxInt
	for _, c := range v.Causes {
		least = min(least, depth(c))
	}
	return least
}

func (e *explainer) unknown(v *jsonschema.ValidationError, names []string) {
	m, path := e.root.locate(v.InstanceLocation)
	known := e.properties(v.SchemaURL)
	_, named := e.at(v.SchemaURL)["patternProperties"]
	for _, f := range m.Fields {
		if !slices.Contains(names, f.Key) {
			continue
		}
		d := Diagnostic{Severity: Error, Summary: summaryUnknownField, Pos: f.Pos, Detail: joinPath(path, pathKey(f.Key)) + ": "}
		if named { // a map whose keys are the user's, within a pattern
			d.Summary = summaryName
			d.Detail += fmt.Sprintf("%s cannot name an environment variable", quoteKey(f.Key))
			d.Hint = "use letters, digits and underscores, not a digit first"
			e.found = append(e.found, finding{Diagnostic: d})
			continue
		}
		meant := nearest(f.Key, known)
		switch hint := formerField(path, f.Key); {
		case hint != "":
			d.Hint = hint
		case meant != "":
			d.Hint = fmt.Sprintf("did you mean %q?", meant)
		}
		switch {
		case d.Hint != "":
			d.Detail += "there is no such field"
		case len(known) > 0:
			d.Detail += "there is no such field; there are " + strings.Join(known, ", ")
		default:
			d.Detail += "no field may stand here"
		}
		e.found = append(e.found, finding{Diagnostic: d, parent: path, meant: meant})
	}
}

// formerField is the advice for fields that other tools or older formats have.
func formerField(path, name string) string {
	switch name {
	case "limits", "requests":
		if strings.HasSuffix(path, "resources") {
			return "there are limits only: write resources: {cpu: …, memory: …}"
		}
	case "timeoutSeconds":
		return `use timeout with a duration such as "90s"`
	case "valueFrom", "envFrom":
		return "use a literal value for configuration; secrets are not passed to task agents"
	}
	return ""
}

func (e *explainer) missing(v *jsonschema.ValidationError, name string) {
	m, path := e.root.locate(v.InstanceLocation)
	d := Diagnostic{Severity: Error, Summary: summaryMissing, Pos: m.Pos, Detail: joinPath(path, name)}
	if text := e.description(v.SchemaURL + "/properties/" + name); text != "" {
		d.Detail += ": " + text
	}
	e.found = append(e.found, finding{Diagnostic: d, parent: path, missing: name})
}

func (e *explainer) add(v *jsonschema.ValidationError, summary, detail, hint string) {
	n, path := e.root.locate(v.InstanceLocation)
	if path != "" {
		detail = path + ": " + detail
	}
	e.found = append(e.found, finding{Diagnostic: Diagnostic{Severity: Error, Summary: summary, Pos: n.Pos, Detail: detail, Hint: hint}})
}

func (e *explainer) valueHint(v *jsonschema.ValidationError) string {
	var got string
	var options []string
	switch k := v.ErrorKind.(type) {
	case *kind.Enum:
		if _, isText := k.Got.(string); !isText {
			return ""
		}
		got = fmt.Sprint(k.Got)
		for _, w := range k.Want {
			options = append(options, fmt.Sprint(w))
		}
	case *kind.Const:
		got, options = fmt.Sprint(k.Got), []string{fmt.Sprint(k.Want)}
	}
	return didYouMean(got, options)
}

func (e *explainer) typeHint(v *jsonschema.ValidationError, k *kind.Type) string {
	n := e.node(v.InstanceLocation)
	if slices.Equal(k.Want, []string{"boolean"}) && n.Kind == NodeString {
		return `write true or false, without quotes`
	}
	if !slices.Contains(k.Want, "string") || !n.isScalar() {
		return secondsHint(v.InstanceLocation, n)
	}
	if strings.HasSuffix(v.SchemaURL, "/$defs/Duration") {
		return durationHint(n.Text)
	}
	return fmt.Sprintf("write it in quotes: %s", quoteKey(n.Text))
}

// secondsHint is the advice for a duration where a number of seconds stands.
func secondsHint(location []string, n *Node) string {
	d, err := time.ParseDuration(n.Text)
	if err != nil || n.Kind != NodeString || len(location) == 0 || !strings.HasSuffix(location[len(location)-1], "Seconds") {
		return ""
	}
	return fmt.Sprintf("write %d, without a unit", int64(d.Seconds()))
}

func (e *explainer) node(location []string) *Node {
	n, _ := e.root.locate(location)
	return n
}

func (e *explainer) got(v *jsonschema.ValidationError) string {
	return e.node(v.InstanceLocation).describe()
}

// locate follows a JSON Schema instance location.
func (n *Node) locate(location []string) (*Node, string) {
	path := ""
	for _, s := range location {
		next, step := n.field(s), pathKey(s)
		if n.Kind == NodeList {
			if i, err := strconv.Atoi(s); err == nil && i < len(n.Items) {
				next, step = n.Items[i], "["+s+"]"
			}
		}
		if next == nil {
			break
		}
		n, path = next, joinPath(path, step)
	}
	return n, path
}
