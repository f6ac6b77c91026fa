// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const goarch = runtime.GOARCH

// change applies one Dockerfile line to an image's configuration. Commands are
// in their JSON form.
func change(c *v1.Config, line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "ENV":
		c.Env = append(c.Env, rest)
	case "USER":
		c.User = rest
	case "WORKDIR":
		c.WorkingDir = rest
	case "CMD":
		return json.Unmarshal([]byte(rest), &c.Cmd)
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &c.Entrypoint)
	case "LABEL":
		key, value, _ := strings.Cut(rest, "=")
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[key] = value
	case "VOLUME":
		c.Volumes = map[string]struct{}{rest: {}}
	case "EXPOSE":
		c.ExposedPorts = map[string]struct{}{rest: {}}
	default:
		return fmt.Errorf("change %q: not known here", line)
	}
	return nil
}
