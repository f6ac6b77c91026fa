// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"reconcile/podman"
	"reconcile/reconcile"
	"reconcile/repos"
	"reconcile/schema"
	"reconcile/secrets"
)

// app is one invocation: its flags, streams and environment.
type app struct {
	std       stdio
	lookupEnv func(string) (string, bool)

	workspace  string
	output     string
	podman     string
	stateDir   string
	vars       []string
	varFile    string
	profile    string
	secretsDir string
	ageKey     string
	policyFile string
	approval   string // --require-approval
	hostHooks  string // --host-hooks; "" = what the host's policy says, else locked
	locked     bool

	gitCredentials string
	gitSSHKey      string
	gitKnownHosts  []string
	verify         string
	allowedSigners []string
	openPGPKeys    []string
	poll           time.Duration

	store    *repos.Store  // of git mirrors, once opened
	sealed   sealedSecrets // that git repositories are asked for with
	cache    *schema.Cache // of validated documents, once read
	hasher   folderHashes
	digests  podman.DigestMemory
	opening  sync.Once
	opened   *secrets.Opener // see opener
	parallel int
	timeout  time.Duration
	verbose  bool
	color    string

	cause             reconcile.Cause // of the pass, for the history; "" = a command
	dryRun            bool
	allowMassDelete   bool
	acceptLostRecords bool
	adopt             bool

	view    viewFlags
	preview previewFlags

	listen  listenFlags
	webhook webhookFlags
	report  reportFlags
}

func (a *app) addSharedFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&a.workspace, "workspace", "C", ".", "directory of the workspace, or its git `URL`[#REF][:FOLDER]")
	fs.StringVarP(&a.output, "output", "o", "text", "output `format`: text or json; the help of a command says which others it has")
	fs.StringVar(&a.podman, "podman", "", "`URL` of the Podman service (default: found, or started)")
	fs.StringVar(&a.stateDir, "state-dir", "", "`directory` of records and caches")
	fs.StringArrayVar(&a.vars, "var", nil, "set a workspace variable, `NAME=VALUE`; may be repeated")
	fs.StringVar(&a.varFile, "var-file", "", "`file` of NAME=VALUE lines")
	fs.StringVar(&a.profile, "profile", "", "active `profile` of manifests")
	fs.StringVar(&a.secretsDir, "secrets-dir", "", "`directory` with a file per secret")
	fs.StringVar(&a.ageKey, "age-key", "", "`file` of age identities, or a private SSH key, that opens encrypted Secret documents (default: what sops uses)")
	fs.StringVar(&a.policyFile, "policy", "", "`file` with the host's policy")
	fs.StringVar(&a.approval, "require-approval", approvalNone, "what a change may not do before it is approved: none, or authority (what agents could not do before)")
	fs.StringVar(&a.hostHooks, "host-hooks", "", "hooks of agents that run on this host: deny, locked (those in workspace.lock run), or allow; of this, --policy and the workspace the strictest counts (default: locked)")
	fs.BoolVar(&a.locked, "locked", false, "fail when workspace.lock lacks something that can be locked")
	fs.StringVar(&a.gitCredentials, "git-credentials", "", "`file` with git credentials, https://user:token@host a line")
	fs.StringVar(&a.gitSSHKey, "git-ssh-key", "", "private key `file` for git over ssh (default: the agent, then ~/.ssh/id_*)")
	fs.StringArrayVar(&a.gitKnownHosts, "git-known-hosts", nil, "known_hosts `file` for git over ssh; may be repeated (default: the user's and the host's)")
	fs.StringVar(&a.verify, "verify", verifyOff, "which commits of a workspace in git are taken: off (all) or signed")
	fs.StringArrayVar(&a.allowedSigners, "allowed-signers", nil, "`file` with SSH keys that sign commits, as git's gpg.ssh.allowedSignersFile; may be repeated")
	fs.StringArrayVar(&a.openPGPKeys, "openpgp-keys", nil, "`file` with armored OpenPGP keys that sign commits; may be repeated")
	fs.IntVar(&a.parallel, "parallel", 0, "steps at the same time (0: two per core, at least four)")
	fs.DurationVar(&a.timeout, "timeout", 2*time.Minute, "time limit of each step")
	fs.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	fs.StringVar(&a.color, "color", "auto", "colours: auto, always or never")
	fs.BoolVar(&a.view.ascii, "ascii", false, "nothing but ASCII in plans and results (default: where the locale is not UTF-8)")
}

func (a *app) addPassFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&a.allowMassDelete, "allow-mass-delete", false, "let more than half of the instances go in one pass")
	fs.BoolVar(&a.acceptLostRecords, "accept-lost-records", false, "take over objects made with other records")
	fs.BoolVar(&a.adopt, "adopt", false, "take over a workspace that was run from another path")
}

// fromEnvironment gives every flag that was not set its RECONCILE_<FLAG>
// value. An empty one counts as none.
func (a *app) fromEnvironment(cmd *cobra.Command) error {
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "RECONCILE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v, ok := a.lookupEnv(name)
		if !ok || v == "" || f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		if err := f.Value.Set(v); err != nil {
			errs = append(errs, badValue(name, f, v, err))
		}
	})
	return errors.Join(errs...)
}

// check completes the flags after parsing.
func (a *app) check(formats ...string) error {
	if !slices.Contains(formats, a.output) {
		return fmt.Errorf("unknown output format %q: this command has %s", a.output, strings.Join(formats, ", "))
	}
	if !slices.Contains([]string{"auto", "always", "never"}, a.color) {
		return fmt.Errorf("--color: %q is not one of auto, always, never", a.color)
	}
	if a.parallel < 0 {
		return fmt.Errorf("--parallel: %d is negative", a.parallel)
	}
	if a.parallel == 0 {
		a.parallel = max(4, 2*runtime.NumCPU())
	}
	if a.timeout <= 0 {
		return fmt.Errorf("--timeout: %v is not positive", a.timeout)
	}
	if a.approval != approvalNone && a.approval != approvalAuthority {
		return fmt.Errorf("--require-approval: %q is not one of none, authority", a.approval)
	}
	if !slices.Contains([]string{"", "deny", "locked", "allow"}, a.hostHooks) {
		return fmt.Errorf("--host-hooks: %q is not one of deny, locked, allow", a.hostHooks)
	}
	if a.verify != verifyOff && a.verify != verifySigned {
		return fmt.Errorf("--verify: %q is not one of off, signed", a.verify)
	}
	if a.verify == verifySigned && len(a.allowedSigners)+len(a.openPGPKeys) == 0 {
		return errors.New("--verify signed needs --allowed-signers or --openpgp-keys: it is not known whose signatures count")
	}
	if a.stateDir == "" {
		a.stateDir = a.defaultStateDir()
	}
	files := []*string{&a.stateDir, &a.secretsDir, &a.ageKey, &a.policyFile, &a.varFile, &a.gitCredentials, &a.gitSSHKey, &a.webhook.secretFile, &a.listen.tokenFile, &a.report.tokenFile}
	for _, list := range [][]string{a.gitKnownHosts, a.allowedSigners, a.openPGPKeys} {
		for i := range list {
			files = append(files, &list[i])
		}
	}
	for _, p := range files {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func (a *app) defaultStateDir() string {
	if os.Getuid() == 0 {
		return "/var/lib/reconcile"
	}
	if dir, ok := a.lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "reconcile")
	}
	home, _ := a.lookupEnv("HOME")
	return filepath.Join(home, ".local", "state", "reconcile")
}

// variables returns --var-file overlaid by --var.
func (a *app) variables() (map[string]string, error) {
	vars := map[string]string{}
	if a.varFile != "" {
		f, err := os.Open(a.varFile)
		if err != nil {
			return nil, fmt.Errorf("read variables: %w", err)
		}
		defer f.Close()
		sc := bufio.NewScanner(f)
		for n := 1; sc.Scan(); n++ {
			line := strings.TrimSpace(sc.Text())
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			name, value, ok := strings.Cut(line, "=")
			if !ok || !variableName(name) {
				return nil, fmt.Errorf("%s:%d:1: want NAME=VALUE", a.varFile, n)
			}
			vars[name] = value
		}
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("read variables: %w", err)
		}
	}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !variableName(name) {
			return nil, errors.New("--var: want NAME=VALUE with a name of letters, digits and _")
		}
		vars[name] = value
	}
	return vars, nil
}

func variableName(s string) bool {
	for i, c := range s {
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
