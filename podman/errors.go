// SPDX-License-Identifier: Apache-2.0

package podman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containers/podman/v5/pkg/errorhandling"
)

// explain says what was done when err happened, and what err means when it
// does not say so itself: a service that went away, or a host that is not set
// up for containers.
func (r *Runtime) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	if gone, lost := lostBy(err); lost {
		said := ""
		if s := r.link.Load().service; s != nil {
			said = s.said.suffix()
		}
		return &lostError{doing: doing, error: fmt.Errorf("%s: the Podman service at %s does not answer any more: %w%s", doing, redact(r.url), gone.Err, said)}
	}
	for _, h := range hostHints {
		if strings.Contains(err.Error(), h.text) {
			return fmt.Errorf("%s: %w\nhint: %s", doing, err, h.hint)
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// lostBy returns what of err, of the service, means that it does not answer. False:
// nothing does; whoever asked may have given up.
func lostBy(err error) (*url.Error, bool) {
	gone, ok := errors.AsType[*url.Error](err)
	return gone, ok && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// isLost is [lostBy] where the cause does not matter.
func isLost(err error) bool {
	_, lost := lostBy(err)
	return lost
}

// lostError says that the service went away.
type lostError struct {
	error
	doing string
}

func (e *lostError) Unwrap() error { return e.error }

// hostHints are failures of a first container on a host whose containers.conf
// does not fit it.
var hostHints = []struct{ text, hint string }{
	{"setting rlimit", `set default_ulimits below [containers] in containers.conf to what the service may set, for example default_ulimits = ["nofile=1024:1024", "nproc=8192:8192"]`},
	{"cgroups in hybrid mode not supported", `set runtime = "runc" below [engine] in containers.conf: crun does not run on mixed cgroup versions`},
	{"unknown version specified", `set runtime = "runc" below [engine] in containers.conf: this crun is too old for this Podman`},
	{`failed to find plugin "bridge"`, `set network_backend = "netavark" below [network] in containers.conf, or install the CNI plugins`},
	{"netavark: No such file or directory", "netavark needs the iptables program: install iptables"},
	{"could not find \"netavark\"", "install netavark, or name its folder in helper_binaries_dir below [engine] in containers.conf"},
	{"aardvark-dns binary not found", "install aardvark-dns, or name its folder in helper_binaries_dir below [engine] in containers.conf"},
	{"could not find a working conmon binary", "install conmon, or name it in conmon_path below [engine] in containers.conf"},
}

// code is the HTTP status of an API error, 0 for other errors.
func code(err error) int {
	var m *errorhandling.ErrorModel
	if errors.As(err, &m) {
		return m.ResponseCode
	}
	return 0
}

// says reports whether an API error has the text in its cause or its message.
// Older services answer 500 to everything, so the text is what tells.
func says(err error, texts ...string) bool {
	if err == nil {
		return false
	}
	for _, t := range texts {
		if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(t)) {
			return true
		}
	}
	return false
}

func notFound(err error) bool {
	if code(err) == http.StatusNotFound {
		return true
	}
	return says(err, "no such container", "no such volume", "no such secret", "network not found", "image not known", "no such image")
}
