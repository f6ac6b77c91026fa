// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"reconcile/schema"
)

type varOptions struct {
	name, value   string
	secret, unset bool
	as            string // name of the secret; "" = that of the variable
}

func newVarCommand(a *app) *cobra.Command {
	var opt varOptions
	cmd := &cobra.Command{
		Use:   "var NAME VALUE | NAME --secret | NAME --unset",
		Short: "Set a variable of the workspace",
		Long: `Sets spec.vars.NAME of the workspace file and prints the difference. Comments,
order and quotes stay; a file that would be wrong then is left as it is. A VALUE
that begins with a dash goes behind --.

With --secret the value is asked for at the terminal, or read from standard input
without its last line break, and kept in Podman's secret store, or as a file of
--secrets-dir. The file gets nothing but {secret: REF}. What uses the variable is
replaced by the next pass, and nothing else.`,
		Example: `  reconcile var LOG_LEVEL debug
  reconcile var DATABASE_URL --secret
  pass show db | reconcile var DATABASE_URL --secret
  reconcile var LOG_LEVEL --unset`,
		ValidArgsFunction: a.completing(1, source.variableNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.check(formatText, formatJSON); err != nil {
				return err
			}
			if err := opt.take(args); err != nil {
				return err
			}
			if opt.secret {
				return a.setSecret(cmd.Context(), opt)
			}
			return a.setVar(cmd.Context(), opt)
		},
	}
	cmd.Flags().BoolVar(&opt.secret, "secret", false, "read the value and keep it as a secret of this host")
	cmd.Flags().BoolVar(&opt.unset, "unset", false, "remove the variable")
	cmd.Flags().StringVar(&opt.as, "as", "", "with --secret: `name` of the secret (default: the one that the variable refers to, else WORKSPACE-NAME)")
	return cmd
}

func checkVariable(name string) error {
	if !variableName(name) {
		return fmt.Errorf("%q cannot be the name of a variable: use letters, digits and underscores, no digit first", name)
	}
	return nil
}

// take reads the arguments.
func (o *varOptions) take(args []string) error {
	values := 1
	if o.secret || o.unset {
		values = 0
	}
	switch {
	case o.secret && o.unset:
		return errors.New("var: --secret and --unset exclude each other")
	case o.as != "" && !o.secret:
		return errors.New("var: --as belongs to --secret")
	case len(args) == 0:
		return errors.New("var needs NAME and VALUE, or NAME with --secret or --unset")
	case o.secret && len(args) > 1:
		return errors.New("var --secret takes no VALUE: it is asked for at the terminal, or read from standard input, so that it is seen nowhere")
	case len(args) > 1+values:
		return fmt.Errorf("too many arguments: %q", args[1+values:])
	case len(args) < 1+values:
		return fmt.Errorf("var %s needs a VALUE; or --secret, which asks for it, or --unset", args[0])
	}
	o.name = args[0]
	if values > 0 {
		o.value = args[1]
	}
	return checkVariable(o.name)
}

// errNoFile is why what no agent asks for makes no workspace out of a folder.
func (e *editing) errNoFile() error {
	if e.old != nil || isCUE(e.file) {
		return nil
	}
	return fmt.Errorf("%s has no workspace file; reconcile init writes one, or name another folder by -C", e.at.root())
}

func (a *app) setVar(ctx context.Context, opt varOptions) error {
	e, err := a.startEditing(ctx, "var "+opt.name, reachHost)
	if err == nil {
		err = e.errNoFile()
	}
	if err != nil {
		return err
	}
	edit := schema.Edit{Op: schema.EditSet, Path: []string{"spec", "vars", opt.name}, Value: schema.EditText(opt.value)}
	done := opt.name + " is set"
	if opt.unset {
		edit, done = schema.Edit{Op: schema.EditUnset, Path: edit.Path}, opt.name+" is removed"
	}
	changed, err := e.apply(ctx, edit)
	if err != nil {
		return err
	}
	if !changed && opt.unset {
		return e.finish(ctx, opt.name+" is not set in "+e.file, false)
	}
	if !changed {
		return e.finish(ctx, opt.name+" has that value already", false)
	}
	if err := e.write(); err != nil {
		return err
	}
	if ref := e.secretOf(opt.name); ref != "" {
		done += fmt.Sprintf(" (the secret %s stays on this host)", ref)
	}
	return e.finish(ctx, done, true)
}

// secretOf is the secret that the workspace file gives a variable; "" = none.
func (e *editing) secretOf(name string) string {
	for _, v := range e.before.Vars {
		if v.Name == name && v.Ref == "" {
			return v.Secret
		}
	}
	return ""
}
