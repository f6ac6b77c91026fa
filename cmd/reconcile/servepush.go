// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/reconcile/plan"
)

func newServePushCommand(a *app) *cobra.Command {
	branch := "main"
	cmd := &cobra.Command{
		Use:   "serve-push PATH.git",
		Short: "Set up a bare git repository that deploys what is pushed to it",
		Long: `Makes PATH.git a bare git repository, if there is none, whose hooks check and
deploy what is pushed to its branch: a push of a workspace with errors is
refused, and a good one converges before the push ends, with everything that
happens on the pusher's terminal. Other branches are only stored.

The flags given here are kept in the repository, for the hooks to use. Running
the command again replaces them.`,
		Example: `  reconcile serve-push /srv/git/acme.git --secrets-dir /etc/acme/secrets
  git remote add deploy ssh://host/srv/git/acme.git
  git push deploy main`,
		Args: oneArg("the path of a repository"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := givenFlags(cmd.Flags())
			if err := a.check("text", "json"); err != nil {
				return err
			}
			return a.servePush(cmd.Context(), args[0], branch, cmd.Flags(), given)
		},
	}
	cmd.Flags().StringVar(&branch, "branch", branch, "`branch` that deploys")
	a.report.add(cmd.Flags())
	return cmd
}

// notRecorded are the flags that say nothing to the hooks of a repository.
var notRecorded = []string{"branch", "workspace", "output", "color", "help"}

// givenFlags are those that do not have their defaults.
func givenFlags(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if (f.Changed || f.Value.String() != f.DefValue) && !slices.Contains(notRecorded, f.Name) {
			names = append(names, f.Name)
		}
	})
	return names
}

// recordedEnvironment decides where Podman, its configuration and our sockets
// are, and is what a login over ssh may lack.
var recordedEnvironment = []string{
	"PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"CONTAINER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF",
}

// recordSettings takes the flags as they are after they were checked, with
// absolute paths.
func (a *app) recordSettings(branch string, flags *pflag.FlagSet, given []string) deploySettings {
	s := deploySettings{FormatVersion: settingsVersion, Branch: branch, Flags: map[string][]string{}, Environment: map[string]string{}}
	for _, name := range append(given, "state-dir") {
		f := flags.Lookup(name)
		if list, ok := f.Value.(pflag.SliceValue); ok {
			s.Flags[name] = list.GetSlice()
			continue
		}
		s.Flags[name] = []string{f.Value.String()}
	}
	for _, name := range recordedEnvironment {
		if v, ok := a.lookupEnv(name); ok && v != "" {
			s.Environment[name] = v
		}
	}
	return s
}

func (a *app) servePush(ctx context.Context, path, branch string, flags *pflag.FlagSet, given []string) error {
	if _, err := runGit(ctx, ".", "check-ref-format", "--branch", branch); err != nil || strings.HasPrefix(branch, "-") || strings.ContainsAny(branch, "@:") {
		return fmt.Errorf("--branch: %q is no name of a branch", branch)
	}
	dir, made, err := openDeployRepo(ctx, path)
	if err != nil {
		return err
	}
	if err := a.tryReporter(dir); err != nil {
		return err
	}
	program, err := ownPath()
	if err != nil {
		return err
	}
	r := deployRepo{dir: dir, settings: a.recordSettings(branch, flags, given)}
	if err := r.setUp(ctx, made, program); err != nil {
		return err
	}
	at, err := locate(r.dir + "#" + branch)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{
			"format_version": plan.FormatVersion,
			"path":           r.dir,
			"branch":         branch,
			"workspace":      at.root(),
			"remote":         sshRemote(r.dir),
			"created":        !made,
			"flags":          sortedKeys(r.settings.Flags),
		})
	}
	a.explainPush(r, made, at, given)
	return nil
}

// tryReporter finds mistakes in the flags of --report before a push does.
func (a *app) tryReporter(dir string) error {
	r, err := a.newCommitReporter("", "file://"+dir)
	r.close()
	return err
}

// explainPush says what to do next.
func (a *app) explainPush(r deployRepo, made bool, at location, given []string) {
	verb := "made"
	if made {
		verb = "set up"
	}
	var w strings.Builder
	fmt.Fprintf(&w, "%s %s: what is pushed to its branch %s deploys\n\n", escape(r.dir), verb, escape(r.settings.Branch))
	w.WriteString("In a clone of the workspace:\n")
	fmt.Fprintf(&w, "  git remote add deploy %s    # on this host: %s\n", escape(quoteWord(sshRemote(r.dir))), escape(quoteWord(r.dir)))
	fmt.Fprintf(&w, "  git push deploy %s\n\n", escape(quoteWord(r.settings.Branch)))
	w.WriteString("Each push converges by itself. To supervise in between, run the daemon here:\n")
	fmt.Fprintf(&w, "  reconcile watch %s%s\n", escape(quoteWord(at.root())), escape(r.settings.commandLine(given)))
	fmt.Fprint(a.std.out, w.String())
}

// commandLine are the recorded flags, for a shell. Values of variables, which
// may be confidential, are left out.
func (s deploySettings) commandLine(given []string) string {
	var b strings.Builder
	for _, name := range given {
		for _, v := range s.Flags[name] {
			if name == "var" {
				n, _, _ := strings.Cut(v, "=")
				v = n + "=…"
			}
			b.WriteString(" --" + name + "=" + quoteWord(v))
		}
	}
	return b.String()
}

// quoteWord quotes a word for a shell where it needs it.
func quoteWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:@%+=,#…", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return shellQuote(s)
}

// sshRemote is how the repository is reached from elsewhere, as far as this
// host knows.
func sshRemote(dir string) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "HOST"
	}
	who := ""
	if u, err := user.Current(); err == nil {
		who = u.Username + "@"
	}
	return "ssh://" + who + host + strings.ReplaceAll(dir, " ", "%20")
}

// ownPath is the path of this program for scripts: as it was called, where that
// leads to it, so that a link that is moved to a newer version goes on counting.
func ownPath() (string, error) {
	real, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the program itself: %w", err)
	}
	called, err := exec.LookPath(os.Args[0])
	if err != nil {
		return real, nil
	}
	if called, err = filepath.Abs(called); err != nil {
		return real, nil
	}
	a, err1 := os.Stat(called)
	b, err2 := os.Stat(real)
	if err1 != nil || err2 != nil || !os.SameFile(a, b) {
		return real, nil
	}
	return called, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
