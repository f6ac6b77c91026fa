// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"encoding/json"
	"errors"
	"fmt"
)

const hookCommand = "hook"

// Args returns the arguments that follow /Agent/agent-server: "hook" and the hook
// as JSON. [ParseHook] is the inverse.
func (h Hook) Args() []string {
	b, err := json.Marshal(h)
	if err != nil {
		return []string{hookCommand} // text always has a JSON form
	}
	return []string{hookCommand, string(b)}
}

// ParseHook returns the Hook whose Args are args.
func ParseHook(args []string) (Hook, error) {
	if len(args) != 2 || args[0] != hookCommand {
		return Hook{}, fmt.Errorf("the arguments are not %q and a hook", hookCommand)
	}
	var h Hook
	if err := decode(args[1], &h); err != nil {
		return Hook{}, fmt.Errorf("parse hook: %w", err)
	}
	if h.Name == "" || len(h.Shell) == 0 || len(h.Commands) == 0 || h.Limit < 0 || h.Timeout < 0 {
		return Hook{}, errors.New("parse hook: it has no name, shell or commands")
	}
	return h, nil
}
