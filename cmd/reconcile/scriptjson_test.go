// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// jsonCmd checks a value in the JSON on standard output:
//
//	json 'PATH' VALUE        it is VALUE: text, or JSON without white space
//	json -re 'PATH' REGEXP   it matches
//	json -has 'PATH' VALUE…  the list or object has each VALUE as an element or key
//	json -keys 'PATH' KEY…   the object has these keys and no others
//	! json 'PATH'            there is nothing
//
// PATH are words: a key, an index, or KEY=VALUE for the first element of a list
// that has it.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	mode := ""
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		mode, args = args[0], args[1:]
	}
	if len(args) < 1 || neg && len(args) != 1 && mode == "" {
		ts.Fatalf("usage: [!] json [-re|-has|-keys] path [value...]")
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	dec.UseNumber()
	var doc any
	ts.Check(dec.Decode(&doc))
	got, err := at(doc, strings.Fields(args[0]))
	switch {
	case neg && mode == "":
		if err == nil {
			ts.Fatalf("%s is %s", args[0], compact(got))
		}
		return
	case err != nil:
		ts.Fatalf("%v", err)
	}
	want := args[1:]
	switch mode {
	case "":
		if len(want) != 1 || compact(got) != want[0] {
			ts.Fatalf("%s is %s, want %q", args[0], compact(got), want)
		}
	case "-re":
		re, err := regexp.Compile(strings.Join(want, " "))
		ts.Check(err)
		if re.MatchString(compact(got)) == neg {
			ts.Fatalf("%s is %s; match with %s = %t", args[0], compact(got), re, !neg)
		}
	case "-has":
		for _, w := range want {
			if slices.Contains(elements(got), w) == neg {
				ts.Fatalf("%s is %s; has %s = %t", args[0], compact(got), w, !neg)
			}
		}
	case "-keys":
		keys := elements(got)
		slices.Sort(keys)
		slices.Sort(want)
		if !slices.Equal(keys, want) {
			ts.Fatalf("the keys of %s are %q, want %q", args[0], keys, want)
		}
	default:
		ts.Fatalf("unknown option %s", mode)
	}
}

func at(v any, path []string) (any, error) {
	for i, word := range path {
		fail := fmt.Errorf("nothing at %q", strings.Join(path[:i+1], " "))
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[word]
			if !ok {
				return nil, fail
			}
			v = next
		case []any:
			if key, value, ok := strings.Cut(word, "="); ok {
				n := slices.IndexFunc(x, func(e any) bool {
					m, ok := e.(map[string]any)
					return ok && m[key] != nil && compact(m[key]) == value
				})
				if n < 0 {
					return nil, fail
				}
				v = x[n]
				continue
			}
			n, err := strconv.Atoi(word)
			if err != nil || n < 0 || n >= len(x) {
				return nil, fail
			}
			v = x[n]
		default:
			return nil, fail
		}
	}
	return v, nil
}

// elements are the keys of an object or the elements of a list.
func elements(v any) []string {
	var out []string
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			out = append(out, k)
		}
	case []any:
		for _, e := range x {
			out = append(out, compact(e))
		}
	}
	return out
}

// compact is text as it is and everything else as JSON without white space.
func compact(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}
