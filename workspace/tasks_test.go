// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconcile/reconcile/plan"
)

// tasksText says of each Task and CronTask how it is run and what its container
// is made with.
func tasksText(res Result) string {
	var b strings.Builder
	d := res.Desired
	for _, r := range d.Resources {
		if r.Run == nil {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", r.ID, r.Name)
		runText(&b, *r.Run)
		for _, why := range r.Blocked {
			fmt.Fprintf(&b, "  blocked %s: %s (%s)\n", why.Code, why.Text, why.Origin)
		}
		if c := r.Spec.Container; c != nil {
			containerText(&b, r, *c, d)
		}
		for _, f := range res.TaskFiles[r.ID] {
			unknown := ""
			if f.Unknown {
				unknown = ", unknown"
			}
			fmt.Fprintf(&b, "  %s is of %s (%s)%s\n", f.Path, f.From, f.Origin, unknown)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(d.Sealed)) {
		s := d.Sealed[ref]
		fmt.Fprintf(&b, "sealed %s: %s, %d bytes %s\n", ref, s.Format, len(s.Data), s.File)
	}
	return b.String()
}

func runText(b *strings.Builder, run plan.Run) {
	fmt.Fprintf(b, "  run %s group %q max %d ttl %v", run.Key, run.Group, run.Max, run.TTL)
	if run.Once {
		b.WriteString(" once")
	}
	if run.Cron != nil {
		fmt.Fprintf(b, " cron %+v", *run.Cron)
	}
	b.WriteString("\n")
}

func containerText(b *strings.Builder, r plan.Resource, c plan.ContainerSpec, d plan.Desired) {
	fmt.Fprintf(b, "  image %s main %+v labels %v\n  task %+v\n", c.Image, c.Main, c.Labels, *c.Task)
	for _, v := range c.Env {
		fmt.Fprintf(b, "  env %s=%s%s\n", v.Name, v.Value, v.Secret)
	}
	for _, ref := range c.EnvFrom {
		fmt.Fprintf(b, "  env from %s\n", ref)
	}
	for _, m := range c.Mounts {
		fmt.Fprintf(b, "  mount %s %s read-only %v\n", m.Type, m.Target, m.ReadOnly)
		for _, f := range m.Files {
			fmt.Fprintf(b, "    %q", f.Path)
			switch {
			case f.Digest != "":
				fmt.Fprintf(b, " %q", d.Contents[f.Digest])
			case f.From != "":
				fmt.Fprintf(b, " from %s", f.TreeHash)
			default:
				b.WriteString(" empty folder")
			}
			b.WriteString("\n")
		}
	}
	for _, s := range c.SecretFiles {
		fmt.Fprintf(b, "  secret %s %04o %s\n", s.Target, s.Mode, s.Ref)
	}
	places := slices.Sorted(maps.Keys(r.Places))
	places = slices.DeleteFunc(places, func(p string) bool { return p == "image" })
	for _, path := range places {
		fmt.Fprintf(b, "  place %s %s\n", path, r.Places[path])
	}
}
