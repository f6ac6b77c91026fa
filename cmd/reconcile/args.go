// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/schema"
)

// oneArg demands the argument that usage calls what.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s needs %s", cmd.Name(), what)
		}
		return atMost(1)(cmd, args)
	}
}

func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("too many arguments: %q", args[n:])
		}
		return nil
	}
}

// explainFlag says what a flag takes, or which was probably meant.
func explainFlag(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return badValue("--"+bad.GetFlag().Name, bad.GetFlag(), bad.GetValue(), bad.Unwrap())
	}
	name, unknown := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !unknown {
		return err
	}
	best, distance := "", len(name)/2+1
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if d := schema.EditDistance(name, f.Name, distance); d < distance && !f.Hidden {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return err
	}
	return fmt.Errorf("%w; did you mean %q?", err, "--"+best)
}

// badValue is the error about a value that a flag, which name says, does not take.
func badValue(name string, f *pflag.Flag, value string, err error) error {
	switch f.Value.Type() {
	case "duration":
		return fmt.Errorf("%s: %q is no duration such as 90s or 10m", name, value)
	case "int":
		return fmt.Errorf("%s: %q is no whole number", name, value)
	case "bool":
		return fmt.Errorf("%s: %q is neither true nor false", name, value)
	}
	return fmt.Errorf("%s: %w", name, err)
}
