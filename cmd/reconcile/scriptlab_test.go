// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/images"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/bindings/secrets"
	"github.com/containers/podman/v5/pkg/bindings/volumes"
	"github.com/containers/podman/v5/pkg/domain/entities/types"
	"github.com/containers/podman/v5/pkg/specgen"
	"github.com/rogpeppe/go-internal/testscript"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
	"reconcile/repos/repostest"
)

// script is what one script has beside its files.
type script struct {
	t        *testing.T
	work     string
	secrets  []string // names of secrets that the script made
	canaries []canary
	registry *podmantest.RegistryServer
	git      *repostest.HTTPServer
	listener net.Listener
	stalled  chan struct{} // closed to let requests go on
	lookout  *lookout      // before Podman's service, once a command only reads
	looked   int           // requests that went through it
}

type scriptKey struct{}

func scriptOf(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

func (s *script) conn() context.Context { return podmantest.Conn(s.t) }

// mine reports whether an object with these labels belongs to the script.
func (s *script) mine(labels map[string]string) bool {
	root := strings.TrimPrefix(labels["reconcile.root"], "file://")
	if s.git != nil && strings.HasPrefix(root, s.git.URL+"/") {
		return true
	}
	return root == s.work || strings.HasPrefix(root, s.work+"/") || labels["test.dir"] == s.work
}

// found is everything at the service that belongs to the script, or to anybody.
type found struct {
	containers []types.ListContainer
	networks   []nettypes.Network
	volumes    []*types.VolumeListReport
	secrets    []*types.SecretInfoReport
}

func (s *script) find(all bool) (found, error) {
	var f found
	cs, err := containers.List(s.conn(), new(containers.ListOptions).WithAll(true))
	if err != nil {
		return f, err
	}
	for _, c := range cs {
		if all || s.mine(c.Labels) {
			f.containers = append(f.containers, c)
		}
	}
	ns, err := network.List(s.conn(), nil)
	if err != nil {
		return f, err
	}
	for _, n := range ns {
		if all || s.mine(n.Labels) {
			f.networks = append(f.networks, n)
		}
	}
	vs, err := volumes.List(s.conn(), nil)
	if err != nil {
		return f, err
	}
	for _, v := range vs {
		if all || s.mine(v.Labels) {
			f.volumes = append(f.volumes, v)
		}
	}
	list, err := secrets.List(s.conn(), nil)
	if err != nil {
		return f, err
	}
	for _, l := range list {
		// Lists of older services lack labels; a secret may be gone by now.
		one, err := secrets.Inspect(s.conn(), l.ID, nil)
		if err == nil && (all || s.mine(one.Spec.Labels) || slices.Contains(s.secrets, one.Spec.Name)) {
			f.secrets = append(f.secrets, one)
		}
	}
	return f, nil
}

// removeAll takes away what the script left behind.
func (s *script) removeAll() {
	f, err := s.find(false)
	if err != nil {
		s.t.Errorf("clean up: %v", err)
	}
	report := func(err error) {
		if err != nil {
			s.t.Errorf("clean up: %v", err)
		}
	}
	for _, c := range f.containers {
		_, err := containers.Remove(s.conn(), c.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
		report(err)
	}
	for _, n := range f.networks {
		_, err := network.Remove(s.conn(), n.Name, nil)
		report(err)
	}
	for _, v := range f.volumes {
		report(volumes.Remove(s.conn(), v.Name, nil))
	}
	for _, x := range f.secrets {
		report(secrets.Remove(s.conn(), x.ID))
	}
}

// lines are what was found, one object a line, sorted; with details as well
// what tells that an object was touched.
func (f found) lines(details bool) []string {
	var out []string
	add := func(short, detail string) {
		if details {
			short += " " + detail
		}
		out = append(out, short)
	}
	for _, c := range f.containers {
		state := c.State
		if state == "stopped" {
			state = "exited" // what it becomes by itself
		}
		add(fmt.Sprintf("container %s %s", c.Names[0], state), fmt.Sprintf("%s started %d exited %d %d labels %v networks %v", c.ID, c.StartedAt, c.ExitedAt, c.ExitCode, c.Labels, c.Networks))
	}
	for _, n := range f.networks {
		add("network "+n.Name, fmt.Sprintf("%s labels %v", n.ID, n.Labels))
	}
	for _, v := range f.volumes {
		add("volume "+v.Name, fmt.Sprintf("%s labels %v", v.CreatedAt, v.Labels))
	}
	for _, s := range f.secrets {
		add("secret "+s.Spec.Name, fmt.Sprintf("%s updated %s labels %v", s.ID, s.UpdatedAt, s.Spec.Labels))
	}
	slices.Sort(out)
	return out
}

// snapshot is all that a dry run must leave alone: what is at the service, and
// the state directory.
func (s *script) snapshot(ts *testscript.TestScript, all bool) string {
	return s.objects(ts, all) + strings.Join(treeLines(ts, ts.Getenv("RECONCILE_STATE_DIR")), "\n") + "\n"
}

// objects is everything at the service, or what of it belongs to the script.
func (s *script) objects(ts *testscript.TestScript, all bool) string {
	f, err := s.find(all)
	ts.Check(err)
	lines := f.lines(true)
	if all {
		list, err := images.List(s.conn(), nil)
		ts.Check(err)
		for _, i := range list {
			lines = append(lines, fmt.Sprintf("image %s %q %q", i.ID, i.RepoTags, i.RepoDigests))
		}
		slices.Sort(lines)
	}
	return strings.Join(lines, "\n") + "\n"
}

// agentsOwn are files that running agents may write: their private work folders
// and copies of their code.
var agentsOwn = regexp.MustCompile(`/workspaces/[^/]+/(data/agents|cache/code)/[^/]+/`)

// treeLines lists every file below dir with all that a write of ours would
// change.
func treeLines(ts *testscript.TestScript, dir string) []string {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the state directory itself, or what a container removed
		}
		if err != nil {
			return err
		}
		if agentsOwn.MatchString(path + "/") {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("file %s %v %s", path, info.Mode(), info.ModTime().UTC())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		lines = append(lines, line)
		return nil
	})
	ts.Check(err)
	return lines
}

// snapshotCmd writes everything of the script at Podman to a file, or
// everything of anybody and the state directory: snapshot [-all] FILE
func snapshotCmd(ts *testscript.TestScript, neg bool, args []string) {
	s, text := scriptOf(ts), ""
	switch {
	case !neg && len(args) == 1:
		text = s.objects(ts, false)
	case !neg && len(args) == 2 && args[0] == "-all":
		text = s.snapshot(ts, true)
	default:
		ts.Fatalf("usage: snapshot [-all] file")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[len(args)-1]), []byte(text), 0o600))
}

// oursCmd prints what belongs to the script: KIND NAME [STATE]
func oursCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: ours")
	}
	f, err := scriptOf(ts).find(false)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), strings.Join(f.lines(false), "\n"))
}

// foreignCmd makes something of the script's own that is not ours: foreign
// [container|network] NAME
func foreignCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: foreign container|network name")
	}
	s := scriptOf(ts)
	labels := map[string]string{"test.dir": s.work}
	switch args[0] {
	case "container":
		spec := specgen.NewSpecGenerator("localhost/test/tool:latest", false)
		spec.Name = args[1]
		spec.Labels = labels
		spec.NetNS = specgen.Namespace{NSMode: specgen.NoNetwork}
		_, err := containers.CreateWithSpec(s.conn(), spec, nil)
		ts.Check(err)
		ts.Check(containers.Start(s.conn(), args[1], nil))
	case "network":
		_, err := network.Create(s.conn(), &nettypes.Network{Name: args[1], Labels: labels})
		ts.Check(err)
	default:
		ts.Fatalf("unknown kind %s", args[0])
	}
}

// secretCmd makes or rotates a Podman secret that the script owns, or removes
// it: [!] secret NAME [VALUE]
func secretCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg && len(args) != 1 || !neg && len(args) != 2 {
		ts.Fatalf("usage: secret name value, or: ! secret name")
	}
	s := scriptOf(ts)
	if slices.Contains(s.secrets, args[0]) {
		ts.Check(secrets.Remove(s.conn(), args[0]))
		s.secrets = slices.DeleteFunc(s.secrets, func(n string) bool { return n == args[0] })
	}
	if neg {
		return
	}
	_, err := secrets.Create(s.conn(), strings.NewReader(args[1]), new(secrets.CreateOptions).WithName(args[0]))
	ts.Check(err)
	s.secrets = append(s.secrets, args[0])
}

// imageCmd makes localhost/NAME:latest, with busybox unless told otherwise:
// image [-tool] NAME CHANGE…
func imageCmd(ts *testscript.TestScript, neg bool, args []string) {
	opt := podmantest.ImageOptions{Busybox: true}
	if len(args) > 0 && args[0] == "-tool" {
		opt.Busybox, args = false, args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: image [-tool] name [change...]")
	}
	opt.Changes = args[1:]
	podmantest.Image(scriptOf(ts).t, args[0], opt)
}

// registryCmd starts a registry at $REGISTRY, takes it out of order for a while, or
// has it refuse what images are made of: registry [down|up|withhold WHY|give]
func registryCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	switch {
	case len(args) == 0 && s.registry == nil:
		s.registry = podmantest.Registry(s.t)
		ts.Setenv("REGISTRY", s.registry.Host)
	case s.registry == nil:
		ts.Fatalf("there is no registry")
	case len(args) == 2 && args[0] == "withhold":
		s.registry.Withhold(args[1])
	case len(args) == 1 && args[0] == "give":
		s.registry.Withhold("")
	case len(args) == 1:
		s.registry.Down(args[0] == "down")
	default:
		ts.Fatalf("usage: registry [down|up|withhold why|give]")
	}
}

// pushCmd pushes an image with the test tool to the registry and puts its
// digest into $DIGEST: push REPO:TAG [CHANGE…]
func pushCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: push repo:tag [change...]")
	}
	s := scriptOf(ts)
	_, digest := s.registry.Push(s.t, args[0], podmantest.ImageOptions{Changes: args[1:]})
	ts.Setenv("DIGEST", digest)
}

// listenCmd takes a port of the host, or gives it back: listen ADDR:PORT, ! listen
func listenCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	switch {
	case !neg && len(args) == 1 && s.listener == nil:
		l, err := net.Listen("tcp", args[0])
		ts.Check(err)
		s.listener = l
		ts.Defer(func() { l.Close() })
	case neg && len(args) == 0 && s.listener != nil:
		ts.Check(s.listener.Close())
		s.listener = nil
	default:
		ts.Fatalf("usage: listen addr:port, or: ! listen")
	}
}

// stallCmd starts a registry at $STALL that answers no request about images
// until it is let go, and then that there are none: stall, ! stall
func stallCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptOf(ts)
	switch {
	case len(args) != 0 || neg != (s.stalled != nil):
		ts.Fatalf("usage: stall, then: ! stall")
	case neg:
		close(s.stalled)
		return
	}
	s.stalled = make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			select {
			case <-s.stalled:
			case <-r.Context().Done():
			}
			http.NotFound(w, r)
		}
	}))
	ts.Setenv("STALL", strings.TrimPrefix(server.URL, "http://"))
	ts.Defer(server.Close)
}

// insideCmd runs a command in a container: [!] inside [-quiet] NAME COMMAND…
// Services lose the output of an exec now and then, so one that says nothing is
// run again, unless it has nothing to say.
func insideCmd(ts *testscript.TestScript, neg bool, args []string) {
	quiet := len(args) > 0 && args[0] == "-quiet"
	if quiet {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: [!] inside [-quiet] container command [args...]")
	}
	for range 5 {
		err := ts.Exec("podman", append([]string{"--remote", "exec"}, args...)...)
		if neg == (err == nil) {
			ts.Fatalf("unexpected result: %v", err)
		}
		said := ts.ReadFile("stdout")
		if neg {
			said += ts.ReadFile("stderr")
		}
		if quiet || said != "" {
			return
		}
	}
	ts.Fatalf("it never printed anything")
}

// inspectCmd prints what Podman says of an object: inspect
// container|network|volume|secret NAME
func inspectCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: inspect container|network|volume|secret name")
	}
	conn := scriptOf(ts).conn()
	var v any
	var err error
	switch args[0] {
	case "container":
		v, err = containers.Inspect(conn, args[1], nil)
	case "network":
		v, err = network.Inspect(conn, args[1], nil)
	case "volume":
		v, err = volumes.Inspect(conn, args[1], nil)
	case "secret":
		v, err = secrets.Inspect(conn, args[1], nil)
	default:
		ts.Fatalf("unknown kind %s", args[0])
	}
	ts.Check(err)
	enc := json.NewEncoder(ts.Stdout())
	enc.SetIndent("", "  ")
	ts.Check(enc.Encode(v))
}

// images are those that install hooks of the script made.
func (s *script) images() ([]*types.ImageSummary, error) {
	all, err := images.List(s.conn(), new(images.ListOptions).WithFilters(map[string][]string{"label": {plan.ImageLabel(plan.LabelRoot)}}))
	return slices.DeleteFunc(all, func(i *types.ImageSummary) bool {
		return !s.mine(map[string]string{"reconcile.root": i.Labels[plan.ImageLabel(plan.LabelRoot)]})
	}), err
}

// leaksCmd looks for planted secrets in everything that Podman says about our
// objects, in every file of the state directory but those of agents, and in
// what commands left elsewhere: leaks [FILE…]
func leaksCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: leaks [file...]")
	}
	s := scriptOf(ts)
	f, err := s.find(false)
	ts.Check(err)
	texts := map[string]string{}
	for _, name := range args {
		texts[name] = ts.ReadFile(name)
	}
	add := func(name string, v any, err error) {
		ts.Check(err)
		b, err := json.Marshal(v)
		ts.Check(err)
		texts[name] = string(b)
	}
	for _, c := range f.containers {
		v, err := containers.Inspect(s.conn(), c.ID, nil)
		if err == nil && podmantest.Version(s.t) < 5 {
			// These services show the environment of the process as it is, to
			// whoever may also execute `env` in the container.
			v.Config.Env = nil
		}
		add("container "+c.Names[0], v, err)
		texts["listed container "+c.Names[0]] = fmt.Sprint(c)
	}
	for _, n := range f.networks {
		add("network "+n.Name, n, nil)
	}
	for _, v := range f.volumes {
		add("volume "+v.Name, v, nil)
	}
	for _, x := range f.secrets {
		add("secret "+x.Spec.Name, x, nil)
	}
	made, err := s.images()
	ts.Check(err)
	for _, i := range made {
		v, err := images.GetImage(s.conn(), i.ID, nil)
		add("image "+i.ID, v, err)
		past, err := images.History(s.conn(), i.ID, nil)
		add("history of image "+i.ID, past, err)
	}
	files := 0
	err = filepath.WalkDir(ts.Getenv("RECONCILE_STATE_DIR"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && agentsOwn.MatchString(path+"/") {
			return filepath.SkipDir
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		texts[path] = path + "\n" + string(b)
		files++
		return err
	})
	ts.Check(err)
	if len(s.canaries) == 0 || len(f.containers) == 0 || files == 0 {
		ts.Fatalf("nothing to look at: %d values, %d containers, %d files", len(s.canaries), len(f.containers), files)
	}
	for name, text := range texts {
		for _, c := range s.canaries {
			if form, found := c.in(text); found {
				ts.Fatalf("%s has a secret value (%s)", name, form)
			}
		}
	}
}

// tmpfsCmd mounts a small file system in memory: tmpfs DIR SIZE, and makes it
// read only: tmpfs -ro DIR, or writable again: tmpfs -rw DIR
func tmpfsCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs [-ro|-rw] dir [size]")
	}
	switch args[0] {
	case "-ro":
		ts.Check(syscall.Mount("", ts.MkAbs(args[1]), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	case "-rw":
		ts.Check(syscall.Mount("", ts.MkAbs(args[1]), "", syscall.MS_REMOUNT, ""))
	default:
		dir := ts.MkAbs(args[0])
		ts.Check(os.MkdirAll(dir, 0o755))
		ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+args[1]))
		ts.Defer(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				scriptOf(ts).t.Errorf("clean up: %v", err)
			}
		})
	}
}
