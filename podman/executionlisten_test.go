// SPDX-License-Identifier: Apache-2.0

package podman_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containers/podman/v5/pkg/bindings/containers"
	"github.com/containers/podman/v5/pkg/bindings/network"
	"github.com/containers/podman/v5/pkg/specgen"
	nettypes "go.podman.io/common/libnetwork/types"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/podman"
	"reconcile/podman/podmantest"
	"reconcile/reconcile/plan"
)

// heard are the ways in which the host is heard.
var heard = map[string]func(*podman.Options){"gateway": nil, "relay": byRelay}

func byRelay(o *podman.Options) { o.Relay = true }

// hearingStage is a stage on which the host is heard, and what it says about that is
// written to log.
func hearingStage(t testing.TB, log io.Writer, edit func(*podman.Options)) (s *stage, runDir string) {
	t.Helper()
	runDir = channelDir(t)
	s = newStage(t, func(o *podman.Options) {
		withHelper(t, new(hookLogs))(o)
		o.RunDir = runDir
		if edit != nil {
			edit(o)
		}
	})
	s.Executions = s.rt.Executions(podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root, Log: slog.New(slog.NewTextHandler(log, nil))})
	return s, runDir
}

// relays are the containers of relays of a workspace.
func relays(t testing.TB, s *stage) []string {
	t.Helper()
	filter := map[string][]string{"label": {plan.LabelWorkspace + "=" + s.d.Workspace, plan.LabelRole + "=" + string(plan.RoleRelay)}}
	list, err := containers.List(podmantest.Conn(t), new(containers.ListOptions).WithAll(true).WithFilters(filter))
	must(t, err)
	var out []string
	for _, c := range list {
		out = append(out, c.ID)
	}
	return out
}

// A relay holds to the contract, and leaves nothing.
func TestListenByRelay(t *testing.T) {
	s, runDir := hearingStage(t, t.Output(), byRelay)
	for range 2 {
		dispatchtest.Listen(t, dispatchtest.Target{
			Runtime: s.Executions,
			Launch:  func(_ *testing.T, script string) plan.Launch { return s.launch(script) },
		})
		if left := relays(t, s); len(left) > 0 {
			t.Errorf("left %q", left)
		}
		if left, err := os.ReadDir(runDir); len(left) > 0 || err != nil {
			t.Errorf("left %v, %v", left, err)
		}
	}
}

// Where the network has IPv6, the host is heard at both addresses.
func TestListenIPv6(t *testing.T) {
	for name, edit := range heard {
		t.Run(name, func(t *testing.T) {
			s, _ := hearingStage(t, t.Output(), edit)
			six := s.d.Workspace + "-six"
			s.create(t, func() plan.ID {
				id := plan.ID{Kind: plan.Network, Name: six}
				s.add(plan.Resource{ID: id, Name: six, Spec: plan.Spec{Network: &plan.NetworkSpec{Driver: "bridge", IPv6: true}}})
				return id
			}())
			ls, at, err := s.Listen(t.Context(), six)
			must(t, err)
			for _, l := range ls {
				must(t, l.Close())
			}
			if len(at) != 2 || !at[0].Addr().Is4() || !at[1].Addr().Is6() {
				t.Errorf("it is heard at %v", at)
			}
			dispatchtest.Listen(t, dispatchtest.Target{
				Runtime: s.Executions,
				Launch: func(_ *testing.T, script string) plan.Launch {
					return with(s.launch(script), func(_ *plan.Launch, c *plan.ContainerSpec) { c.Network = six })
				},
			})
		})
	}
}

// The port is the one that is asked for, and another one where somebody has that.
func TestListenAtPort(t *testing.T) {
	var log bytes.Buffer
	port := uint16(21234)
	s, _ := hearingStage(t, &log, func(o *podman.Options) {
		o.MetadataPort = func(func() uint16) (uint16, error) { return port, nil }
	})
	listen := func() ([]net.Listener, netip.AddrPort) {
		t.Helper()
		ls, at, err := s.Listen(t.Context(), s.d.Workspace)
		must(t, err)
		if len(ls) != 1 || len(at) != 1 || !at[0].Addr().Is4() {
			t.Fatalf("%d listeners at %v, want one", len(ls), at)
		}
		return ls, at[0]
	}
	first, at := listen()
	held, err := network.Inspect(podmantest.Conn(t), s.d.Workspace, nil)
	must(t, err)
	if want := netip.AddrPortFrom(netip.MustParseAddr(held.Subnets[0].Gateway.String()), port); at != want {
		t.Errorf("it is heard at %v, want %v", at, want)
	}
	if log.Len() > 0 {
		t.Errorf("it says %s", &log)
	}
	second, other := listen()
	if other == at || !strings.Contains(log.String(), "the port of the metadata service is taken") {
		t.Errorf("it is heard at %v too, and says %q", other, &log)
	}
	for _, l := range append(first, second...) {
		must(t, l.Close())
	}
	again, back := listen()
	if back != at {
		t.Errorf("it is heard at %v again, want %v", back, at)
	}
	must(t, again[0].Close())
	if _, _, err := s.Listen(t.Context(), "no-such-network"); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("in a network that is not there: %v", err)
	}
}

// When a network is made anew with other addresses, who listens in it is told.
func TestListenAnew(t *testing.T) {
	s, _ := hearingStage(t, t.Output(), nil)
	ls, at, err := s.Listen(t.Context(), s.d.Workspace)
	must(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := ls[0].Accept()
		ended <- err
	}()
	s.observe(t) // changes nothing
	id := plan.ID{Kind: plan.Network, Name: s.d.Workspace}
	s.do(t, on(plan.OpDelete, s.object(t, id)))
	conn, taker := podmantest.Conn(t), s.d.Workspace+"-taker"
	_, err = network.Create(conn, &nettypes.Network{Name: taker, Driver: "bridge"})
	must(t, err)
	t.Cleanup(func() {
		_, err := network.Remove(context.WithoutCancel(conn), taker, nil)
		must(t, err)
	})
	s.create(t, id)
	select {
	case err := <-ended:
		t.Fatalf("it ended before anybody looked: %v", err)
	default:
	}
	s.observe(t)
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	ls, again, err := s.Listen(t.Context(), s.d.Workspace)
	must(t, err)
	if again[0].Addr() == at[0].Addr() {
		t.Errorf("it is heard at %v again", again)
	}
	must(t, ls[0].Close())
}

// A relay that is removed, or whose process ends, is there again, at its address.
func TestRelayComesBack(t *testing.T) {
	s, _ := hearingStage(t, t.Output(), byRelay)
	ls, at, err := s.Listen(t.Context(), s.d.Workspace)
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.RemoteAddr)
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ls[0]) })
	defer serving.Wait()
	defer server.Close()
	answers := func() bool {
		res, err := http.Get("http://" + at[0].String())
		if err != nil {
			return false
		}
		defer res.Body.Close()
		from, err := io.ReadAll(res.Body)
		must(t, err)
		if _, err := netip.ParseAddrPort(string(from)); err != nil {
			t.Errorf("it comes from %q", from)
		}
		return true
	}
	if !answers() {
		t.Fatal("it does not answer")
	}
	conn := podmantest.Conn(t)
	for name, end := range map[string]func(id string){
		"killed": func(id string) { must(t, containers.Kill(conn, id, new(containers.KillOptions).WithSignal("SIGKILL"))) },
		"removed": func(id string) {
			_, err := containers.Remove(conn, id, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
			must(t, err)
		},
	} {
		was := relays(t, s)
		if len(was) != 1 {
			t.Fatalf("%s: there are %d relays", name, len(was))
		}
		end(was[0])
		for now := was; len(now) != 1 || now[0] == was[0] || !answers(); now = relays(t, s) {
			select {
			case <-t.Context().Done():
				t.Fatalf("%s: it does not come back", name)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if names, err := s.Sweep(t.Context(), "another"); len(names) > 0 || err != nil {
		t.Errorf("a relay in use was swept: %q, %v", names, err)
	}
}

// What a daemon that was killed has left goes.
func TestRelayIsSwept(t *testing.T) {
	s, _ := hearingStage(t, t.Output(), byRelay)
	ls, _, err := s.Listen(t.Context(), s.d.Workspace)
	must(t, err)
	next := s.rt.Executions(podman.ExecutionOptions{Workspace: s.d.Workspace, Root: s.d.Root})
	if names, err := next.Sweep(t.Context(), "next"); len(names) != 1 || err != nil {
		t.Errorf("swept %q, %v", names, err)
	}
	must(t, ls[0].Close())
	if left := relays(t, s); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// An event is for the execution whose it is: not for others in its network, nor in
// another one, nor for the host.
func TestEventIsPrivate(t *testing.T) {
	for name, edit := range heard {
		t.Run(name, func(t *testing.T) {
			s, _ := hearingStage(t, t.Output(), edit)
			other := s.d.Workspace + "-b"
			conn := podmantest.Conn(t)
			_, err := network.Create(conn, &nettypes.Network{Name: other, Driver: "bridge"})
			must(t, err)
			t.Cleanup(func() {
				_, err := network.Remove(context.WithoutCancel(conn), other, nil)
				must(t, err)
			})
			d := dispatch.NewDispatcher(dispatch.DispatcherOptions{
				Runtime: s.Executions, Journal: dispatch.OpenFolder(t.TempDir()), Session: "one", DrainTimeout: time.Millisecond,
				Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			running.Go(func() { _ = d.Run(ctx) })
			d.Set([]plan.Agent{s.agent(`trap "exit 0" TERM; echo "$CLRK_METADATA_URL,$CLRK_METADATA_URL_V6"; wget -q -O - "$CLRK_METADATA_URL/event" || echo FAILED; echo; while :; do sleep 0.1; done`)})
			<-d.Opened()
			front := httptest.NewServer(d)
			defer front.Close()

			res, err := http.Post(front.URL+"/agents/default/runner", "text/plain", strings.NewReader("the event"))
			must(t, err)
			defer res.Body.Close()
			said := bufio.NewReader(res.Body)
			urls, err := said.ReadString('\n')
			must(t, err)
			if own, err := said.ReadString('\n'); own != "the event\n" || err != nil {
				t.Fatalf("the execution itself gets %q, %v", own, err)
			}
			url, six, _ := strings.Cut(strings.TrimSpace(urls), ",")
			if url == "" || six != "" {
				t.Errorf("the URLs are %q", urls)
			}
			const refused = "404\nno execution that goes on has this address\n"
			for where, in := range map[string]string{"same network": s.d.Workspace, "other network": other} {
				if got := ask(t, s, in, url+"/event"); got != refused {
					t.Errorf("%s: got %q", where, got)
				}
			}
			res, err = http.Get(url + "/event")
			must(t, err)
			defer res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("the host: %s", res.Status)
			}
		})
	}
}

// agent is one that streams what a script writes.
func (s *stage) agent(script string) plan.Agent {
	l := s.launch(script)
	return plan.Agent{
		ID: l.Agent, Dispatch: plan.Dispatch{Name: l.Name, Timeout: 2 * time.Minute, Streaming: true},
		Revision: plan.Revision{ID: l.Agent, Number: 1, Spec: plan.Spec{Container: l.Spec}},
	}
}

// ask is what a container in a network is answered at a URL.
func ask(t *testing.T, s *stage, in, url string) string {
	t.Helper()
	conn := podmantest.Conn(t)
	g := specgen.NewSpecGenerator(toolImage(t), false)
	g.Command = []string{"/bin/tool", "get", url}
	g.NetNS = specgen.Namespace{NSMode: specgen.Bridge}
	g.Networks = map[string]nettypes.PerNetworkOptions{in: {}}
	c, err := containers.CreateWithSpec(conn, g, nil)
	must(t, err)
	defer func() {
		_, err := containers.Remove(conn, c.ID, new(containers.RemoveOptions).WithForce(true).WithTimeout(0))
		must(t, err)
	}()
	must(t, containers.Start(conn, c.ID, nil))
	_, err = containers.Wait(conn, c.ID, nil)
	must(t, err)
	var out strings.Builder
	must(t, s.rt.Logs(t.Context(), c.ID, podman.LogOptions{}, &out, &out))
	return out.String()
}
