// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"reconcile/reconcile/plan"
)

var agentA = plan.ID{Kind: plan.Manifest, Name: "a"}

// authorityScene is a plan that replaces a container of before by one of after;
// nil before = there is none, and one from the registry r.org is beside it.
func authorityScene(id plan.ID, before, after *plan.ContainerSpec) (plan.Desired, plan.Observed) {
	d := plan.Desired{Workspace: "acme", Root: testRoot, Resources: []plan.Resource{
		{ID: plan.ID{Kind: plan.Network, Name: "acme"}, Name: "acme", Spec: plan.Spec{Network: &plan.NetworkSpec{DNS: true, Driver: "bridge"}}},
		{ID: id, Name: "acme-a", Origin: "ws.yaml:1:1", Want: plan.WantRunning, Spec: plan.Spec{Container: after}},
	}}
	o := plan.Observed{
		Inputs: map[plan.Input]plan.Fact{}, Specs: map[string]json.RawMessage{}, Records: plan.Records{Owner: testOwner},
	}
	object := func(id plan.ID, handle string, c *plan.ContainerSpec) {
		spec := plan.Spec{Container: c}
		raw, err := json.Marshal(spec)
		if err != nil {
			panic(err)
		}
		o.Specs[spec.Digest()] = raw
		obj := plan.Object{
			ID: id, Handle: handle, Name: "acme-" + id.Name, Workspace: "acme", Root: testRoot, Owner: testOwner,
			Role: plan.RoleInstance, State: plan.StateRunning, Digest: spec.Digest(), Inputs: map[string]string{},
		}
		for _, in := range spec.Inputs() {
			obj.Inputs[in.String()] = "x"
		}
		o.Objects = append(o.Objects, obj)
	}
	beside := &plan.ContainerSpec{Image: "r.org/x:1", Network: "acme"}
	other := plan.ID{Kind: plan.Manifest, Name: "beside"}
	object(other, "h0", beside)
	d.Resources = append(d.Resources, plan.Resource{ID: other, Name: "acme-beside", Want: plan.WantRunning, Spec: plan.Spec{Container: beside}})
	if before != nil {
		object(id, "h1", before)
	}
	return d, o
}

func TestAuthority(t *testing.T) {
	dir := func(source string, readOnly bool) plan.Mount {
		return plan.Mount{Type: plan.MountDir, Source: source, Target: "/data", ReadOnly: readOnly}
	}
	port := func(ip string, host uint16) plan.Port {
		return plan.Port{HostIP: ip, HostPort: host, Container: 80, Protocol: "tcp"}
	}
	box := func(edit func(c *plan.ContainerSpec)) *plan.ContainerSpec {
		c := &plan.ContainerSpec{
			Image: "r.org/i:1", Network: "acme", CapDrop: []string{"ALL"}, CapAdd: []string{"NET_BIND_SERVICE"}, NoNewPrivileges: true,
			ReadOnlyRoot: true, PidsLimit: 512, Memory: 64 << 20, NanoCPUs: 5e8, User: "1000",
		}
		if edit != nil {
			edit(c)
		}
		return c
	}
	plain := box(nil)
	tests := []struct {
		name          string
		before, after *plan.ContainerSpec
		want          []string // key: text
	}{
		{"a new agent in a box", nil, plain, nil},
		{"a new agent with the defaults", nil, &plan.ContainerSpec{Image: "localhost/i:1", Network: "acme"}, nil},
		{"no change", plain, plain, nil},
		{"another image of the registry", plain, box(func(c *plan.ContainerSpec) { c.Image = "r.org/other:2" }), nil},
		{"a new registry", plain, box(func(c *plan.ContainerSpec) { c.Image = "evil.org:5000/i:1" }), []string{"registry evil.org:5000: runs an image from evil.org:5000"}},
		{"a new agent of a new registry", nil, box(func(c *plan.ContainerSpec) { c.Image = "evil.org/i:1" }), []string{"registry evil.org: runs an image from evil.org"}},
		{"an image of this host", plain, box(func(c *plan.ContainerSpec) { c.Image = "localhost/i:1" }), nil},

		{"a folder to read", plain, box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", true)} }), []string{"host-path ro /srv: reads /srv on the host"}},
		{"a folder to write", plain, box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", false)} }), []string{"host-path rw /srv: reads and writes /srv on the host"}},
		{
			"read becomes write", box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", true)} }),
			box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", false)} }),
			[]string{"host-path rw /srv: reads and writes /srv on the host"},
		},
		{
			"write becomes read", box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", false)} }),
			box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", true)} }), nil,
		},
		{
			"a folder within", box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", false)} }),
			box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv/data", false)} }), nil,
		},
		{
			"a folder beside", box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv", false)} }),
			box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv2", false)} }),
			[]string{"host-path rw /srv2: reads and writes /srv2 on the host"},
		},
		{
			"the folder above", box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/srv/data", false)} }),
			box(func(c *plan.ContainerSpec) { c.Mounts = []plan.Mount{dir("/", true)} }),
			[]string{"host-path ro /: reads / on the host"},
		},
		{
			"its own folder, a copy, the helper, memory and a volume", plain, box(func(c *plan.ContainerSpec) {
				c.Mounts = []plan.Mount{
					{Type: plan.MountDir, Source: "/state/a", Target: "/workspace"},
					{Type: plan.MountCopy, Source: "/state/code/a", From: "/ws/a", Target: "/code", TreeHash: "x"},
					{Type: plan.MountHelper, Target: "/Agent", ReadOnly: true},
					{Type: plan.MountTmpfs, Target: "/tmp"},
				}
			}), nil,
		},
		{
			"a work directory that others have", plain, box(func(c *plan.ContainerSpec) {
				c.Mounts = []plan.Mount{
					{Type: plan.MountDir, Source: "/ws", Target: "/workspace"},
					{Type: plan.MountDir, Source: "/ws", Target: "/ws"},
					{Type: plan.MountDir, Source: "/ws/agents/a", Target: "/code"},
				}
			}), []string{"work-dir /ws: works in /ws, which is no folder of its own"},
		},

		{"a port of this host", plain, box(func(c *plan.ContainerSpec) {
			c.Ports = []plan.Port{port("127.0.0.1", 8080), port("::1", 1), port("127.8.8.8", 1)}
		}), nil},
		{
			"a port beyond this host", plain, box(func(c *plan.ContainerSpec) { c.Ports = []plan.Port{port("0.0.0.0", 8080)} }),
			[]string{"port 0.0.0.0:8080:80/tcp: answers at 0.0.0.0:8080/tcp, beyond this host, with its port 80"},
		},
		{
			"a port of no address", plain, box(func(c *plan.ContainerSpec) { c.Ports = []plan.Port{port("", 8080)} }),
			[]string{"port 0.0.0.0:8080:80/tcp: answers at 0.0.0.0:8080/tcp, beyond this host, with its port 80"},
		},
		{
			"a port of any number", plain, box(func(c *plan.ContainerSpec) { c.Ports = []plan.Port{port("::", 0)} }),
			[]string{"port [::]:*:80/tcp: answers at a free port of [::]/tcp, beyond this host, with its port 80"},
		},
		{
			"another port behind the same", box(func(c *plan.ContainerSpec) { c.Ports = []plan.Port{port("10.0.0.1", 80)} }),
			box(func(c *plan.ContainerSpec) {
				c.Ports = []plan.Port{{HostIP: "10.0.0.1", HostPort: 80, Container: 9090, Protocol: "tcp"}}
			}),
			[]string{"port 10.0.0.1:80:9090/tcp: answers at 10.0.0.1:80/tcp, beyond this host, with its port 9090"},
		},

		{
			"a capability, spelt in full", plain, box(func(c *plan.ContainerSpec) { c.CapAdd = append(c.CapAdd, "cap_sys_admin") }),
			[]string{"capability SYS_ADMIN: has the capability SYS_ADMIN"},
		},
		{"every capability", plain, box(func(c *plan.ContainerSpec) { c.CapAdd = []string{"ALL"} }), []string{"capability ALL: has every capability"}},
		{
			"fewer than every capability", box(func(c *plan.ContainerSpec) { c.CapAdd = []string{"all"} }),
			box(func(c *plan.ContainerSpec) { c.CapAdd = []string{"NET_ADMIN", "CHOWN"} }), nil,
		},
		{"one that others have", plain, box(func(c *plan.ContainerSpec) { c.CapAdd = append(c.CapAdd, "CHOWN") }), []string{"capability CHOWN: has the capability CHOWN"}},
		{
			"it keeps what it dropped", plain, box(func(c *plan.ContainerSpec) { c.CapDrop = []string{"KILL"} }),
			[]string{"privilege default-capabilities: has the capabilities that containers have by default"},
		},
		{
			"it drops less", box(func(c *plan.ContainerSpec) { c.CapDrop = []string{"KILL", "CHOWN"} }), box(func(c *plan.ContainerSpec) { c.CapDrop = []string{"kill"} }),
			[]string{"privilege default-capabilities: has the capabilities that containers have by default"},
		},
		{"it drops more", box(func(c *plan.ContainerSpec) { c.CapDrop = nil }), box(func(c *plan.ContainerSpec) { c.CapDrop = []string{"KILL"} }), nil},
		{
			"protections go", plain, box(func(c *plan.ContainerSpec) { c.NoNewPrivileges, c.ReadOnlyRoot = false, false }),
			[]string{
				"privilege new-privileges: may gain privileges through setuid programs",
				"privilege writable-root: may write to its root file system",
			},
		},

		{
			"secrets", plain, box(func(c *plan.ContainerSpec) {
				c.Env = []plan.EnvVar{{Name: "A", Secret: "secret:token"}, {Name: "B", Secret: "env:HOME"}, {Name: "C", Value: "hunter2"}, {Name: "D", Secret: "secret:token"}}
			}), []string{"secret env:HOME: gets HOME of the operator's environment", "secret token: gets the secret token"},
		},
		{
			"a secret under another name", box(func(c *plan.ContainerSpec) { c.Env = []plan.EnvVar{{Name: "A", Secret: "secret:token"}} }),
			box(func(c *plan.ContainerSpec) { c.Env = []plan.EnvVar{{Name: "B", Secret: "secret:token"}} }), nil,
		},

		{"a network where there was none", box(func(c *plan.ContainerSpec) { c.Network = "" }), plain, []string{"network acme: is on the network acme"}},
		{"the host's network", nil, box(func(c *plan.ContainerSpec) { c.Network = "host" }), []string{"network host: is on the network host"}},
		{"no network", plain, box(func(c *plan.ContainerSpec) { c.Network = "" }), nil},

		{
			"limits are higher", plain, box(func(c *plan.ContainerSpec) { c.Memory, c.NanoCPUs, c.PidsLimit = 1<<30+1<<29, 15e8, 513 }),
			[]string{
				"limit cpu 1500000000: may use 1.5 CPUs",
				"limit memory 1610612736: may use 1536 MiB of memory",
				"limit pids 513: may have 513 processes",
			},
		},
		{
			"limits are gone", plain, box(func(c *plan.ContainerSpec) { c.Memory, c.NanoCPUs, c.PidsLimit = 0, 0, 0 }),
			[]string{
				"limit cpu none: may use every CPU",
				"limit memory none: may use as much memory as there is",
				"limit pids none: may have as many processes as the runtime lets it",
			},
		},
		{"limits are lower", plain, box(func(c *plan.ContainerSpec) { c.Memory, c.NanoCPUs, c.PidsLimit = 1, 1, 1 }), nil},
		{"limits where there were none", &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme"}, box(func(c *plan.ContainerSpec) { c.User = "" }), nil},

		{"root", plain, box(func(c *plan.ContainerSpec) { c.User = "0:0" }), []string{"user root: runs as root"}},
		{"a new agent as root", nil, box(func(c *plan.ContainerSpec) { c.User = "root" }), []string{"user root: runs as root"}},
		{"the image's user", plain, box(func(c *plan.ContainerSpec) { c.User = "" }), []string{"user image: runs as the user of its image, who may be root"}},
		{"root becomes the image's user", box(func(c *plan.ContainerSpec) { c.User = "root" }), box(func(c *plan.ContainerSpec) { c.User = "" }), nil},
		{"another user", plain, box(func(c *plan.ContainerSpec) { c.User = "1001" }), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, o := authorityScene(agentA, tt.before, tt.after)
			d.Resources[1].Own = []string{"/state/a"}
			got := authorityOf(plan.New(d, o, plan.Options{}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// What there is to approve includes whatever a change may ask for.
			id := plan.ID{Kind: plan.DaemonAgent, Name: "a"}
			d, o = authorityScene(id, tt.before, tt.after)
			d.Resources[1].Own = []string{"/state/a"}
			d.Approvals = plan.Approvals{Required: true, Keys: map[plan.ID][]string{}}
			for _, g := range plan.Standing(d, plan.Records{}) {
				d.Approvals.Keys[g.ID] = append(d.Approvals.Keys[g.ID], g.Key)
			}
			for _, g := range plan.New(d, o, plan.Options{}).Authority {
				if !g.Approved {
					t.Errorf("%s cannot be approved", g.Key)
				}
			}
		})
	}
}

func authorityOf(p plan.Plan) []string {
	var out []string
	for _, g := range plan.Authority(p) {
		out = append(out, g.Key+": "+g.Text)
	}
	return out
}

// A spec that is not known to be what ran proves nothing: all of what comes then
// is new.
func TestAuthorityOfWhatIsNotKnown(t *testing.T) {
	before := &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme", Env: []plan.EnvVar{{Name: "A", Secret: "secret:old"}}}
	after := &plan.ContainerSpec{Image: "r.org/i:2", Network: "acme", Memory: 1 << 30, Env: before.Env}
	want := []string{"limit memory 1073741824: may use 1 GiB of memory", "secret old: gets the secret old"}
	digest := plan.Spec{Container: before}.Digest()
	for name, raw := range map[string]string{
		"none": "", "damaged": "{", "another kind": `{"network":{"dns":true,"driver":"bridge"}}`,
		"another spec": `{"container":{"image":"r.org/i:1","main":{},"memory":0,"env":[{"name":"A","secret":"secret:old"},{"name":"B","secret":"secret:new"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			d, o := authorityScene(agentA, before, after)
			o.Specs[digest] = json.RawMessage(raw)
			if diff := cmp.Diff(want, authorityOf(plan.New(d, o, plan.Options{}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	// The same spec is the same, though it is not kept any more.
	d, o := authorityScene(agentA, after, after)
	o.Specs = nil
	for i := range o.Objects {
		o.Objects[i].State = plan.StateBroken
	}
	p := plan.New(d, o, plan.Options{})
	if len(p.Changes) != 3 || len(p.Authority) != 0 { // the network is one
		t.Errorf("%d changes grant %v, want three that grant nothing", len(p.Changes), authorityOf(p))
	}
}

func TestUnapprovedIsHeld(t *testing.T) {
	before := &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme"}
	after := &plan.ContainerSpec{
		Image: "r.org/i:2", Network: "acme",
		Env:    []plan.EnvVar{{Name: "A", Secret: "secret:token"}},
		Mounts: []plan.Mount{{Type: plan.MountDir, Source: "/srv/data", Target: "/data", ReadOnly: true}},
	}
	needs := plan.Resource{
		ID: plan.ID{Kind: plan.Manifest, Name: "needs-a"}, Name: "acme-needs-a", Want: plan.WantRunning,
		Spec:  plan.Spec{Container: &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme"}},
		Needs: []plan.Need{{On: agentA, Until: plan.UntilReady}},
	}
	free := plan.Resource{
		ID: plan.ID{Kind: plan.Manifest, Name: "free"}, Name: "acme-free", Want: plan.WantRunning,
		Spec: plan.Spec{Container: &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme"}},
	}
	tests := []struct {
		name      string
		approvals plan.Approvals
		flag      bool
		held      bool
		approved  []bool // host-path, secret
	}{
		{"not required", plan.Approvals{}, false, false, []bool{false, false}},
		{"required by policy", plan.Approvals{Required: true}, false, true, []bool{false, false}},
		{"required by the flag", plan.Approvals{}, true, true, []bool{false, false}},
		{"half of it is approved", keys("secret token"), false, true, []bool{false, true}},
		{"approved", keys("secret token", "host-path ro /srv/data"), false, false, []bool{true, true}},
		{"more is approved", keys("secret token", "host-path rw /srv"), false, false, []bool{true, true}},
		{"less is approved", keys("secret token", "host-path rw /srv/data/x"), false, true, []bool{false, true}},
		{"nonsense is approved", keys("secret token", "host-path /srv/data", "host-path ro", "everything *"), false, true, []bool{false, true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, o := authorityScene(agentA, before, after)
			d.Resources[1].Places = map[string]string{"mounts./data": "a.yaml:3:4"}
			d.Resources = append(d.Resources, needs, free)
			d.Approvals = tt.approvals
			p := plan.New(d, o, plan.Options{RequireApproval: tt.flag})
			var approved []bool
			for _, g := range p.Authority {
				approved = append(approved, g.Approved)
			}
			if diff := cmp.Diff(tt.approved, approved); diff != "" {
				t.Errorf("approved (-want +got):\n%s", diff)
			}
			acts := slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Target == agentA })
			if acts == tt.held {
				t.Errorf("it is acted on: %v, want %v", acts, !tt.held)
			}
			if !slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Target == free.ID }) {
				t.Error("what nothing is held against is not done")
			}
			want := plan.ExitChanges
			if tt.held {
				want = plan.ExitRefused
			}
			if got := p.ExitCode(true); got != want {
				t.Errorf("a dry run exits with %d, want %d", got, want)
			}
			for _, c := range p.Held {
				if !c.Policy || c.ID == agentA && c.Reasons[0].Code != plan.CodeAuthority {
					t.Errorf("held: %+v", c)
				}
			}
			if tt.held && tt.approved[0] == false && p.Held[0].Reasons[0].Origin != "a.yaml:3:4" {
				t.Errorf("held at %s, want the place of the mount", p.Held[0].Reasons[0].Origin)
			}
		})
	}
}

// Paths in the workspace are approved wherever it lies.
func TestApprovedPathsMove(t *testing.T) {
	after := func(folder string) *plan.ContainerSpec {
		return &plan.ContainerSpec{Image: "r.org/i:2", Network: "acme", Mounts: []plan.Mount{
			{Type: plan.MountDir, Source: folder, Target: "/workspace"},
			{Type: plan.MountDir, Source: folder + "2/data", Target: "/data"},
		}}
	}
	below := func(folder string) *plan.ContainerSpec {
		return &plan.ContainerSpec{Image: "r.org/i:2", Network: "acme", Mounts: []plan.Mount{
			{Type: plan.MountDir, Source: folder + "/a b/c", Target: "/data", ReadOnly: true},
		}}
	}
	tests := []struct {
		name string
		spec func(folder string) *plan.ContainerSpec
		want []string
	}{
		{"itself, and one beside it", after, []string{"host-path rw /home/me/ws2/data", "work-dir ."}},
		{"below", below, []string{"host-path ro ./a b/c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, o := authorityScene(agentA, nil, tt.spec("/home/me/ws"))
			d.Approvals.Folder = "/home/me/ws"
			var got []string
			for _, g := range plan.New(d, o, plan.Options{}).Authority {
				got = append(got, g.Key)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			d, o = authorityScene(agentA, nil, tt.spec("/srv/ws"))
			d.Approvals = keys(got...)
			d.Approvals.Folder = "/srv/ws"
			for _, g := range plan.New(d, o, plan.Options{}).Authority {
				if want := !strings.HasSuffix(g.Key, "ws2/data"); g.Approved != want {
					t.Errorf("elsewhere %s is approved: %v, want %v", g.Key, g.Approved, want)
				}
			}
			for _, key := range []string{"work-dir ./..", "work-dir ./../..", "work-dir ws", "work-dir ..", "work-dir .x", "host-path rw ./../"} {
				d.Approvals = keys(key)
				d.Approvals.Folder = "/srv/ws"
				for _, g := range plan.New(d, o, plan.Options{}).Authority {
					if g.Approved {
						t.Errorf("%s approves %s", key, g.Key)
					}
				}
			}
		})
	}
}

func keys(list ...string) plan.Approvals {
	return plan.Approvals{Required: true, Keys: map[plan.ID][]string{{Kind: plan.Manifest, Namespace: plan.DefaultNamespace, Name: "a"}: list}}
}

// Where an instance can write the lock file, or could, only the host's own
// records count.
func TestApprovalsOfTheHost(t *testing.T) {
	after := &plan.ContainerSpec{Image: "r.org/i:2", Network: "acme", Env: []plan.EnvVar{{Name: "A", Secret: "secret:token"}}}
	writer := func(source string, readOnly bool) plan.Resource {
		return plan.Resource{
			ID: plan.ID{Kind: plan.Manifest, Name: "w"}, Name: "acme-w", Want: plan.WantRunning, Blocked: []plan.Reason{{Code: plan.CodeInvalid}},
			Spec: plan.Spec{Container: &plan.ContainerSpec{Image: "r.org/i:1", Mounts: []plan.Mount{
				{Type: plan.MountDir, Source: source, Target: "/x", ReadOnly: readOnly},
			}}},
		}
	}
	here := plan.Approval(agentA, []plan.Grant{{Key: "secret token"}}, testNow)
	could := plan.Record{ID: plan.ID{Kind: plan.Manifest, Name: "gone"}, Kind: plan.RecordApprover, Data: map[string]string{"held": "true"}}
	const lock = "/ws/workspace.lock"
	tests := []struct {
		name    string
		files   []string
		more    []plan.Resource
		records []plan.Record
		want    bool
	}{
		{"nobody can", []string{lock}, []plan.Resource{writer("/ws/agents", false)}, nil, true},
		{"in a commit", nil, []plan.Resource{writer("/ws", false)}, nil, true},
		{"reading is not writing", []string{lock}, []plan.Resource{writer("/ws", true)}, nil, true},
		{"its folder", []string{lock}, []plan.Resource{writer("/ws", false)}, nil, false},
		{"the file itself", []string{lock}, []plan.Resource{writer(lock, false)}, nil, false},
		{"far above", []string{lock}, []plan.Resource{writer("/", false)}, nil, false},
		{"where it leads", []string{lock, "/real/lock"}, []plan.Resource{writer("/real", false)}, nil, false},
		{"approved on the host", []string{lock}, []plan.Resource{writer("/ws", false)}, []plan.Record{here}, true},
		{"it could before", []string{lock}, nil, []plan.Record{could}, false},
		{"it could before, approved on the host", []string{lock}, nil, []plan.Record{could, here}, true},
		{"somebody has looked since", []string{lock}, nil, []plan.Record{plan.ApproverReleased(could.ID, testNow)}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, o := authorityScene(agentA, nil, after)
			d.Resources = append(d.Resources, tt.more...)
			d.Approvals = keys("secret token")
			d.Approvals.Files = tt.files
			o.Records.Records = tt.records
			p := plan.New(d, o, plan.Options{})
			if len(p.Authority) != 1 || p.Authority[0].Approved != tt.want {
				t.Errorf("approved: %+v, want %v", p.Authority, tt.want)
			}
			for _, g := range plan.Standing(d, o.Records) {
				if g.ID == agentA && g.Kind == plan.GrantSecret && g.Approved != tt.want {
					t.Errorf("standing: %+v, want approved %v", g, tt.want)
				}
			}
		})
	}
}

// Before something starts that can write the lock file, that is on record; and
// once.
func TestApproverIsRecorded(t *testing.T) {
	c := &plan.ContainerSpec{Image: "r.org/i:1", Network: "acme", Mounts: []plan.Mount{{Type: plan.MountDir, Source: "/ws", Target: "/workspace"}}}
	for name, before := range map[string]*plan.ContainerSpec{"new": nil, "there already": c} {
		t.Run(name, func(t *testing.T) {
			d, o := authorityScene(agentA, before, c)
			d.Approvals.Files = []string{"/ws/workspace.lock"}
			p := plan.New(d, o, plan.Options{})
			at := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Op == plan.OpRecord && s.Record.Kind == plan.RecordApprover })
			if at < 0 {
				t.Fatalf("it is not recorded:\n%s", p)
			}
			start := slices.IndexFunc(p.Steps, func(s plan.Step) bool { return s.Op == plan.OpStart && s.Target == agentA })
			if before == nil && (start < at || !slices.Contains(p.Steps[start].After, p.Steps[at].ID)) {
				t.Errorf("it starts before that is recorded:\n%s", p)
			}
			o.Records.Records = append(o.Records.Records, *p.Steps[at].Record)
			if ids := plan.FormerApprovers(o.Records); len(ids) != 1 || ids[0] != agentA {
				t.Errorf("former approvers: %v", ids)
			}
			p = plan.New(d, o, plan.Options{})
			if slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Op == plan.OpRecord && s.Record.Kind == plan.RecordApprover }) {
				t.Errorf("it is recorded again:\n%s", p)
			}
			d.Approvals.Required = true
			p = plan.New(d, plan.Observed{Records: plan.Records{Owner: testOwner}}, plan.Options{})
			if slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Op == plan.OpRecord && s.Record.Kind == plan.RecordApprover }) {
				t.Errorf("what is held is recorded:\n%s", p)
			}
		})
	}
}

// TestAuthorityProperties: whatever ran, running it again grants nothing, and
// neither does less of it; what is approved in full is not held for it; and a
// change that is not held for want of approval is the same as without any policy.
func TestAuthorityProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := containerGen().Draw(t, "before"), containerGen().Draw(t, "after")
		d, o := authorityScene(agentA, before, before)
		for i := range o.Objects {
			o.Objects[i].State = plan.StateBroken
		}
		if p := plan.New(d, o, plan.Options{}); len(p.Authority) != 0 {
			t.Fatalf("the same spec grants %v", authorityOf(p))
		}
		d, o = authorityScene(agentA, before, lessOf(t, before))
		d.Approvals.Required = true
		if p := plan.New(d, o, plan.Options{}); len(p.Authority) != 0 || len(p.Held) != 0 {
			t.Fatalf("less of it grants %v:\n%s", authorityOf(p), p)
		}
		d, o = authorityScene(agentA, before, after)
		free := plan.New(d, o, plan.Options{})
		d.Approvals = plan.Approvals{Required: true, Keys: map[plan.ID][]string{}}
		for _, g := range free.Authority {
			d.Approvals.Keys[g.ID] = append(d.Approvals.Keys[g.ID], g.Key)
		}
		p := plan.New(d, o, plan.Options{})
		if diff := cmp.Diff(free.Steps, p.Steps); diff != "" || len(p.Held) != len(free.Held) {
			t.Fatalf("what is approved is not done (-free +approved):\n%s", diff)
		}
		if len(free.Authority) > 0 {
			d.Approvals.Keys = nil
			p = plan.New(d, o, plan.Options{})
			if slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Target == agentA }) || len(p.Authority) != len(free.Authority) {
				t.Fatalf("what is not approved is done:\n%s", p)
			}
		}
	})
}

// lessOf draws a container that can do nothing that c cannot, and at best less.
func lessOf(t *rapid.T, c *plan.ContainerSpec) *plan.ContainerSpec {
	less := *c
	drop := func(label string) bool { return rapid.Bool().Draw(t, "without "+label) }
	less.Env = slices.DeleteFunc(slices.Clone(c.Env), func(e plan.EnvVar) bool { return drop(e.Name) })
	less.Ports = slices.DeleteFunc(slices.Clone(c.Ports), func(p plan.Port) bool { return drop(p.HostIP) })
	less.CapAdd = slices.DeleteFunc(slices.Clone(c.CapAdd), drop)
	less.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(m plan.Mount) bool { return drop(m.Target) })
	for i := range less.Mounts {
		less.Mounts[i].ReadOnly = less.Mounts[i].ReadOnly || drop("writing")
	}
	for _, name := range []string{"SETUID", "ALL"} {
		if drop(name) {
			less.CapDrop = append(slices.Clone(less.CapDrop), name)
		}
	}
	if drop("the network") {
		less.Network = ""
	}
	if drop("root") {
		less.User = "1000"
	}
	if drop("memory") {
		less.Memory = 1 << 10
	}
	less.NoNewPrivileges = c.NoNewPrivileges || drop("new privileges")
	less.ReadOnlyRoot = c.ReadOnlyRoot || drop("a writable root")
	return &less
}

func containerGen() *rapid.Generator[*plan.ContainerSpec] {
	return rapid.Custom(func(t *rapid.T) *plan.ContainerSpec {
		some := func(label string, of ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, 2, func(s string) string { return s }).Draw(t, label)
		}
		c := &plan.ContainerSpec{
			Image:   rapid.SampledFrom([]string{"r.org/i:1", "s.org/i:1", "localhost/i:1"}).Draw(t, "image"),
			Network: rapid.SampledFrom([]string{"", "acme", "other"}).Draw(t, "network"),
			User:    rapid.SampledFrom([]string{"", "0", "1000"}).Draw(t, "user"),
			CapAdd:  some("add", "SYS_ADMIN", "CHOWN", "ALL"),
			CapDrop: some("drop", "ALL", "KILL", "CHOWN"),
			Memory:  rapid.SampledFrom([]int64{0, 1 << 20, 1 << 30}).Draw(t, "memory"),

			NoNewPrivileges: rapid.Bool().Draw(t, "privileges"), ReadOnlyRoot: rapid.Bool().Draw(t, "root"),
		}
		for _, s := range some("secrets", "secret:a", "secret:b", "env:C") {
			c.Env = append(c.Env, plan.EnvVar{Name: "V" + s[len(s)-1:], Secret: s})
		}
		for _, s := range some("mounts", "/", "/srv", "/srv/data", "/srv2") {
			c.Mounts = append(c.Mounts, plan.Mount{Type: plan.MountDir, Source: s, Target: "/m" + s, ReadOnly: rapid.Bool().Draw(t, "ro")})
		}
		for _, ip := range some("ports", "127.0.0.1", "0.0.0.0", "10.0.0.1") {
			c.Ports = append(c.Ports, plan.Port{HostIP: ip, HostPort: 80, Container: 80, Protocol: "tcp"})
		}
		return c
	})
}
