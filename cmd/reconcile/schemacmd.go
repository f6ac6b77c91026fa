// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconcile/schema"
)

// handWritten are what `schema` prints beside the kinds, as JSON Schema only: the
// lock file, and the JSON form of plans.
func handWritten(name string) ([]byte, bool) {
	switch strings.ToLower(name) {
	case lockName:
		return schema.LockJSONSchema(), true
	case planName:
		return schema.PlanJSONSchema(), true
	}
	return nil, false
}

const (
	lockName = "lock"
	planName = "plan"
)

func newSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [KIND]",
		Short: "Print the definition of a kind, of the lock file, or of the plan's JSON",
		Long: `Prints the definition of a kind as CUE (-o cue, the default) or as JSON Schema
(-o jsonschema); without KIND the kinds are listed. "lock", the lock file, and
"plan", the JSON form of a plan, exist as JSON Schema only.`,
		Example: `  reconcile schema Manifest
  reconcile schema plan -o jsonschema`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("output") {
				a.output = "cue"
			}
			if len(args) == 0 {
				return a.listKinds()
			}
			formats := []string{"cue", "jsonschema"}
			if _, found := handWritten(args[0]); found {
				formats = formats[1:]
				if !cmd.Flags().Changed("output") {
					a.output = formats[0]
				}
			}
			if err := a.check(formats...); err != nil {
				return err
			}
			return a.printSchema(args[0])
		},
	}
}

func (a *app) listKinds() error {
	if err := a.check("cue", "text", "json"); err != nil {
		return err
	}
	var names []string
	for _, k := range schema.Kinds() {
		names = append(names, string(k))
	}
	names = append(names, lockName, planName)
	if a.output == "json" {
		return a.printJSON(map[string]any{"kinds": names})
	}
	fmt.Fprintln(a.std.out, strings.Join(names, "\n"))
	return nil
}

func (a *app) printSchema(name string) error {
	if text, found := handWritten(name); found {
		_, err := a.std.out.Write(text)
		return err
	}
	i := slices.IndexFunc(schema.Kinds(), func(k schema.Kind) bool { return strings.EqualFold(string(k), name) })
	if i < 0 {
		return fmt.Errorf("unknown kind %q: `reconcile schema` lists them", name)
	}
	print := schema.CUE
	if a.output == "jsonschema" {
		print = schema.JSONSchema
	}
	text, err := print(schema.Kinds()[i])
	if err != nil {
		return err
	}
	_, err = a.std.out.Write(text)
	return err
}

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  atMost(0),
		RunE: func(*cobra.Command, []string) error {
			if err := a.check("text", "json"); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(a.std.out, "reconcile %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// printJSON writes v as indented JSON to stdout.
func (a *app) printJSON(v any) error {
	var doc strings.Builder
	enc := json.NewEncoder(&doc)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(a.std.out, escapeJSON(doc.String()))
	return err
}
