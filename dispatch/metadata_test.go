// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconcile/dispatch"
	"reconcile/dispatch/dispatchtest"
	"reconcile/reconcile/plan"
)

// What a process is told at the metadata service.
func TestMetadata(t *testing.T) {
	const taken = "409 there is a reply already\n"
	type ask struct{ method, path, accept, body, want string }
	binary := "200 "
	for name, c := range map[string]struct {
		mode plan.DeliveryMode
		asks []ask
		want string // what the client gets
	}{
		"event": {plan.DeliverMetadata, []ask{
			{"GET", "/event", "", "", binary + "{\"a\": 1}"},
			{"GET", "/event", "*/*", "", binary + "{\"a\": 1}"},
			{"GET", "/event", "application/cloudevents+json", "", `200 {"specversion":"1.0","id":"x1","source":"clrk://default/a","type":"dev.apoxy.clrk.taskagent.invoke","subject":"http","time":"` + epoch + `","datacontenttype":"application/json","clrkrevision":"a-00001","httpmethod":"POST","httpurl":"/agents/default/a","httpquery":"","tenant":"ü","data":{"a": 1}}` + "\n"},
			{"HEAD", "/event", "", "", "200 "},
			{"POST", "/event", "", "x", "405 an event is there to be read\n"},
			{"GET", "/response", "", "", "405 a reply is posted\n"},
			{"PUT", "/response", "", "x", "405 a reply is posted\n"},
			{"GET", "/", "", "", "404 there are /v1/event and /v1/response, and nothing else\n"},
			{"GET", "/event/", "", "", "404 there are /v1/event and /v1/response, and nothing else\n"},
			{"POST", "/response", "", "one", "204 "},
			{"POST", "/response", "", "two", taken},
			{"GET", "/event", "", "", binary + "{\"a\": 1}"},
		}, "200 one"},
		"empty reply": {plan.DeliverMetadata, []ask{{"POST", "/response", "", "", "204 "}, {"POST", "/response", "", "", taken}}, "200 "},
		"too much":    {plan.DeliverMetadata, []ask{{"POST", "/response", "", strings.Repeat("x", 5<<20), "413 the reply is not whole: it is more than 4 MiB\n"}, {"POST", "/response", "", "less", "204 "}}, "200 less"},
		"stdin": {plan.DeliverStdin, []ask{
			{"GET", "/event", "", "", binary + "{\"a\": 1}"},
			{"POST", "/response", "", "x", "409 the reply of this agent is what it writes to stdout; delivery.mode: Metadata has it posted\n"},
		}, "200 out"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, func(o *dispatch.DispatcherOptions) { o.MaxReply = 4 << 20 })
				var got, want []string
				l.mem.Programs["asks"] = func(p *dispatchtest.Process) int {
					if c.mode == plan.DeliverMetadata {
						if n, _ := p.Stdin.Read(make([]byte, 1)); n > 0 {
							t.Error("there is something on stdin")
						}
					}
					for _, a := range c.asks {
						res, err := p.Request(a.method, p.Env["CLRK_METADATA_URL"]+a.path, "", strings.NewReader(a.body), "Accept", a.accept)
						if err != nil {
							t.Error(err)
						}
						got = append(got, fmt.Sprint(res.Status, " ", res.Body))
						if strings.HasPrefix(a.want, binary) && a.path == "/event" && a.accept != "application/cloudevents+json" {
							checkBinary(t, res.Header)
						}
						allow := ""
						if res.Status == 405 {
							allow = map[string]string{"/event": "GET, HEAD", "/response": "POST"}[a.path]
						}
						if h := http.Header(res.Header).Get("Allow"); h != allow {
							t.Errorf("%s %s: Allow %q", a.method, a.path, h)
						}
					}
					if c.mode == plan.DeliverStdin {
						return write("out", 0)(p)
					}
					return 0
				}
				a := agent("a", "asks")
				a.Mode = c.mode
				l.set(a)
				synctest.Wait()
				res := l.do(request("POST", "a", `{"a": 1}`, "Content-Type", "application/json", dispatch.ExecutionHeader, "x1", "X-Clrk-Trigger", "http", "ce-tenant", "%C3%BC"))
				if answered := fmt.Sprint(res.StatusCode, " ", text(t, res)); answered != c.want {
					t.Errorf("the client got %q, want %q", answered, c.want)
				}
				synctest.Wait()
				for _, a := range c.asks {
					want = append(want, a.want)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("answers (-want +got)\n%s", diff)
				}
			})
		})
	}
}

func checkBinary(t *testing.T, h map[string][]string) {
	t.Helper()
	got := map[string]string{}
	for name, v := range h {
		if strings.HasPrefix(name, "Ce-") || name == "Content-Type" {
			got[name] = strings.Join(v, "|")
		}
	}
	want := map[string]string{
		"Content-Type": "application/json", "Ce-Specversion": "1.0", "Ce-Id": "x1", "Ce-Source": "clrk://default/a",
		"Ce-Type": "dev.apoxy.clrk.taskagent.invoke", "Ce-Subject": "http", "Ce-Time": epoch, "Ce-Clrkrevision": "a-00001",
		"Ce-Httpmethod": "POST", "Ce-Httpurl": "/agents/default/a", "Ce-Httpquery": "", "Ce-Tenant": "%C3%BC",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("binary event (-want +got)\n%s", diff)
	}
}

// An execution's part of the service is open to its own container, and while it
// goes on.
func TestMetadataIsPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		urls := make(chan string, 10)
		l.mem.Programs["waits"] = func(p *dispatchtest.Process) int {
			urls <- p.Env["CLRK_METADATA_URL"]
			return nap(p, 10*time.Second)
		}
		l.mem.Programs["tries"] = func(p *dispatchtest.Process) int {
			url := <-urls
			urls <- url
			for _, r := range [][2]string{{"GET", "/event"}, {"POST", "/response"}, {"PUT", "/event"}} {
				res, err := p.Request(r[0], url+r[1], "", strings.NewReader(""))
				if err != nil || res.Status != 404 || strings.Contains(res.Body, "data") {
					t.Errorf("%s %s of another: %d %q, %v", r[0], r[1], res.Status, res.Body, err)
				}
			}
			return 0
		}
		l.set(agent("a", "waits"), agent("b", "tries"))
		synctest.Wait()
		c := l.begin(request("POST", "a", ""))
		synctest.Wait()
		if res := l.do(request("POST", "b", "")); res.StatusCode != 200 {
			t.Errorf("the other: %s", res.Status)
		}
		url := <-urls
		from := func(addr string) int {
			req, err := http.NewRequest("GET", url+"/event", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := l.mem.From(t.Context(), "acme", netip.MustParseAddr(addr), req)
			if err != nil {
				t.Fatal(err)
			}
			return res.Status
		}
		own := "10.88.0.1"
		if got := from(own); got != 200 {
			t.Errorf("its own address: %d", got)
		}
		if got := from("::ffff:" + own); got != 200 {
			t.Errorf("its own address, mapped: %d", got)
		}
		if got := from("10.0.0.1"); got != 404 {
			t.Errorf("the host: %d", got)
		}
		token := strings.Split(url, "/")[3]
		if len(token) < 26 {
			t.Errorf("the token %q can be guessed", token)
		}
		<-c.done
		synctest.Wait()
		if got := from(own); got != 404 {
			t.Errorf("after the end: %d", got)
		}
	})
}

// Every container has an URL of its own, at both addresses where the network has
// both; a DaemonAgent is told why there is nothing at its.
func TestMetadataURLs(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			l.mem.IPv6 = v6
			seen := map[string]bool{}
			var daemon []string
			l.mem.Programs["env"] = func(p *dispatchtest.Process) int {
				v4 := p.Env["CLRK_METADATA_URL"]
				if seen[v4] || !strings.HasPrefix(v4, "http://10.0.0.1:80/") || !strings.HasSuffix(v4, "/v1") {
					t.Errorf("URL %q", v4)
				}
				seen[v4] = true
				six, there := p.Env["CLRK_METADATA_URL_V6"]
				if there != v6 || there && six != strings.Replace(v4, "10.0.0.1", "[fd00::1]", 1) {
					t.Errorf("URL %q beside %q", six, v4)
				}
				for _, path := range []string{dispatch.DaemonPath, dispatch.DaemonPath + "/event", dispatch.DaemonPath + "/response"} {
					res, err := p.Request("POST", "http://10.0.0.1:80"+path, "", nil)
					daemon = append(daemon, fmt.Sprint(res.Status, " ", res.Body, err))
				}
				return 0
			}
			l.set(agent("a", "env"))
			synctest.Wait()
			for range 3 {
				if res := l.do(request("POST", "a", "")); res.StatusCode != 200 {
					t.Error(res.Status)
				}
			}
			for _, d := range daemon {
				if d != "404 this is a DaemonAgent: it is started once, and has neither an event nor a reply\n<nil>" {
					t.Errorf("a daemon is told %q", d)
				}
			}
			// One without a network has no such service.
			alone := agent("alone", "alone")
			alone.Revision.Spec.Container.Network = ""
			l.mem.Programs["alone"] = func(p *dispatchtest.Process) int { return len(p.Env) }
			l.set(alone)
			if res := l.do(request("POST", "alone", "")); res.StatusCode != 200 {
				t.Errorf("alone: %s", res.Status)
			}
		})
	}
}

// A reply that has not come as a whole when its process ends is none.
func TestPostIsCut(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, nil)
			body, rest := io.Pipe()
			l.mem.Programs["leaves"] = func(p *dispatchtest.Process) int {
				l.wg.Go(func() {
					_, _ = p.Request("POST", p.Env["CLRK_METADATA_URL"]+"/response", "text/plain", body)
				})
				_, _ = io.WriteString(rest, "half")
				return nap(p, time.Second)
			}
			a := agent("a", "leaves")
			a.Mode, a.Streaming = plan.DeliverMetadata, streaming
			l.set(a)
			synctest.Wait()
			c := l.begin(request("POST", "a", ""))
			time.Sleep(2 * time.Second)
			_ = rest.Close() // what was under way comes late
			<-c.done
			synctest.Wait()
			if last := l.last("a"); last.Outcome != dispatch.Failed || last.Reason != "it ended without a POST of its reply" {
				t.Errorf("streaming=%v: %+v", streaming, last)
			}
			switch {
			case c.cut != streaming:
				t.Errorf("streaming=%v: the answer is cut: %v", streaming, c.cut)
			case !streaming && c.res.StatusCode != 502:
				t.Errorf("%s %q", c.res.Status, text(t, c.res))
			}
		})
	}
}

// The caller is answered when the reply is there, and an execution that ends with
// its deadline can reply no more.
func TestAnswerOnPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, nil)
		var late []int
		l.mem.Programs["a"] = func(p *dispatchtest.Process) int {
			if nap(p, 2*time.Second) != 0 || post(p, "", "early") != 0 {
				return 1
			}
			return nap(p, 7*time.Second)
		}
		l.mem.Programs["late"] = func(p *dispatchtest.Process) int {
			<-p.Terminated
			res, err := p.Request("POST", p.Env["CLRK_METADATA_URL"]+"/response", "", strings.NewReader("late"))
			if err != nil {
				t.Error(err)
			}
			late = append(late, res.Status)
			return 0
		}
		a, b := agent("a", "a"), agent("late", "late")
		a.Mode, b.Mode = plan.DeliverMetadata, plan.DeliverMetadata
		l.set(a, b)
		synctest.Wait()
		begin := time.Now()
		c := l.begin(request("POST", "a", ""))
		<-c.done
		if got := text(t, c.res); got != "early" || c.at.Sub(begin) != 2*time.Second {
			t.Errorf("%q after %v", got, c.at.Sub(begin))
		}
		c = l.begin(request("POST", "late", ""))
		<-c.done
		time.Sleep(time.Minute)
		synctest.Wait()
		if c.res.StatusCode != 504 || !slices.Equal(late, []int{404}) {
			t.Errorf("%d, and its reply %v", c.res.StatusCode, late)
		}
	})
}
