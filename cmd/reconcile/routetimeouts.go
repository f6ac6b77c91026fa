// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// routeTimeouts say how long instances may take until their answer to a routed
// request begins; 0 = as long as they like. It is the value of a flag.
type routeTimeouts struct {
	all  time.Duration
	each map[string]time.Duration // by instance, where it is another than all
}

// defaultRouteTimeout leaves room for tools that think before they answer.
const defaultRouteTimeout = 10 * time.Minute

func (r *routeTimeouts) of(instance string) time.Duration {
	if d, ok := r.each[instance]; ok {
		return d
	}
	return r.all
}

// Set reads DURATION, or NAME=DURATION for one instance, or several with commas
// between them.
func (r *routeTimeouts) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(one, "=")
		if !named {
			value = one
		}
		d, err := time.ParseDuration(value)
		switch {
		case err != nil:
			return fmt.Errorf("%q is no duration such as 90s or 10m", value)
		case d < 0:
			return fmt.Errorf("%v is negative", d)
		case !named:
			r.all = d
		case name == "":
			return errors.New("want NAME=DURATION")
		default:
			if r.each == nil {
				r.each = map[string]time.Duration{}
			}
			r.each[instanceName(name)] = d
		}
	}
	return nil
}

func (r *routeTimeouts) String() string {
	out := []string{r.all.String()}
	for _, name := range slices.Sorted(maps.Keys(r.each)) {
		out = append(out, fmt.Sprintf("%s=%s", name, r.each[name]))
	}
	return strings.Join(out, ",")
}

// Type names what the flag takes.
func (r *routeTimeouts) Type() string { return "[NAME=]DURATION" }
