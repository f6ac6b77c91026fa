// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"reconcile/atomicfile"
	"reconcile/podman"
	"reconcile/schema"
)

// setSecret keeps the value of a variable as a secret of this host. The secret
// comes before the file, which is checked before either.
func (a *app) setSecret(ctx context.Context, opt varOptions) error {
	e, err := a.startEditing(ctx, "var "+opt.name+" --secret", reachHost)
	if err == nil {
		err = e.errNoFile()
	}
	if err != nil {
		return err
	}
	held := e.secretOf(opt.name)
	ref, err := e.secretName(opt, held)
	if err != nil {
		return err
	}
	_, err = e.apply(ctx, schema.Edit{Op: schema.EditSet, Path: []string{"spec", "vars", opt.name}, Value: schema.EditRef("secret", ref)})
	if err != nil {
		return err
	}
	value, err := a.askSecret(ctx, opt.name)
	if err == nil {
		err = podman.CheckSecret(value)
	}
	if err != nil {
		return fmt.Errorf("%s is left as it is: %w", opt.name, err)
	}
	changed, where, err := a.keepSecret(ctx, podman.KeptSecret{
		Name: ref, Value: value, For: e.before.name + "/" + opt.name, Replace: ref == held,
	})
	if err != nil {
		if errors.Is(err, podman.ErrForeignSecret) {
			return fmt.Errorf("%w; choose another name by --as NAME, or set %s to {secret: %s} yourself if it is that one", err, opt.name, ref)
		}
		return err
	}
	if err := e.write(); err != nil {
		return err
	}
	done := fmt.Sprintf("the value of %s is the secret %s of %s", opt.name, ref, where)
	if !changed {
		done += ", as it was"
	}
	return e.finish(ctx, done, changed)
}

// secretName is the name under which the value of a variable is kept.
func (e *editing) secretName(opt varOptions, held string) (string, error) {
	switch {
	case opt.as != "":
		return opt.as, nil // which the format checks
	case held != "":
		return held, nil
	case e.before.NameUnknown || !schema.IsName(e.before.name):
		return "", errors.New("the workspace has no name that is known, after which the secret would be called: mend its file, or give --as NAME")
	}
	return e.before.name + "-" + strings.Trim(strings.ReplaceAll(strings.ToLower(opt.name), "_", "-"), "-"), nil
}

// mostInput is the most that is read from standard input, more than any secret may
// have.
const mostInput = 1 << 20

// askSecret reads a value from standard input, without its last line break, or
// asks for it at the terminal, where it does not show.
func (a *app) askSecret(ctx context.Context, name string) ([]byte, error) {
	f, ok := a.std.in.(*os.File)
	if !ok || !isTerminal(f) {
		b, err := io.ReadAll(io.LimitReader(a.std.in, mostInput))
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		return bytes.TrimSuffix(b, []byte("\r")), nil
	}
	state, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("ask at the terminal: %w", err)
	}
	restore := func() { _ = term.Restore(int(f.Fd()), state) }
	stop := context.AfterFunc(ctx, restore) // a signal must not leave the terminal as it is now
	defer stop()
	defer restore()
	fmt.Fprint(a.std.err, "Value of "+name+" (it does not show): ")
	line, err := term.NewTerminal(terminal{f, io.Discard}, "").ReadPassword("")
	restore()
	fmt.Fprintln(a.std.err)
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	if err != nil {
		return nil, errors.New("no value was given")
	}
	return []byte(line), nil
}

// terminal is read at one end and written at the other.
type terminal struct {
	io.Reader
	io.Writer
}

// keepSecret keeps a value in the secrets directory, if there is one, or in
// Podman's secret store. where says which.
func (a *app) keepSecret(ctx context.Context, s podman.KeptSecret) (changed bool, where string, err error) {
	if a.secretsDir == "" {
		rt, err := podman.Open(ctx, podman.Options{URL: a.podman, RunDir: a.runDir(), LookupEnv: a.lookupEnv})
		if err != nil {
			return false, "", err
		}
		defer rt.Close() //nolint:errcheck // nothing is left to be done with it
		changed, err := rt.KeepSecret(ctx, s)
		return changed, "Podman", err
	}
	if err := a.notInPodman(ctx, s.Name); err != nil {
		return false, "", err
	}
	path := filepath.Join(a.secretsDir, s.Name)
	value := append(bytes.Clone(s.Value), '\n') // one is not part of the value
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(bytes.TrimSuffix(old, []byte("\n")), s.Value):
		return false, a.secretsDir, nil
	case err == nil && !s.Replace:
		return false, "", fmt.Errorf("secret %s: %w", path, podman.ErrForeignSecret)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, "", err
	}
	return true, a.secretsDir, atomicfile.Write(path, value, atomicfile.Options{Sync: true})
}

// notInPodman returns an error if Podman has a secret of that name: it would go
// before the file. A Podman that cannot be asked now has none.
func (a *app) notInPodman(ctx context.Context, name string) error {
	r, err := podman.OpenReader(ctx, podman.Options{URL: a.podman, LookupEnv: a.lookupEnv})
	if err != nil {
		return nil
	}
	defer r.Close() //nolint:errcheck // nothing is left to be done with it
	if has, err := r.HasSecret(ctx, name); err != nil || !has {
		return nil
	}
	return fmt.Errorf("there is a secret %s in Podman, which goes before the file of that name in %s: leave out --secrets-dir to change it, or choose another name by --as NAME", name, a.secretsDir)
}
