// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"maps"
	"slices"
	"strings"
)

// defaultProfile is merged over every manifest that has it.
const defaultProfile = "default"

// checkProfile warns of an active profile that no manifest has, while all of them
// are known. That some do not have it is what profiles are for.
func (r *resolver) checkProfile() {
	t := r.tree
	if t.profile == "" || t.profile == defaultProfile || len(t.partial) > 0 || len(r.repoGaps()) > 0 {
		return
	}
	known := map[string]bool{}
	for _, repo := range t.repos {
		for _, a := range repo.agents {
			switch {
			case a == nil || !a.read:
				continue
			case a.manifest == nil || a.doc.Invalid:
				return
			}
			for _, p := range a.manifest.Profiles {
				known[p.V] = true
			}
		}
	}
	if known[t.profile] {
		return
	}
	delete(known, defaultProfile)
	pos, names := t.file.Profile.Pos, slices.Sorted(maps.Keys(known))
	if t.opt.Profile != "" {
		pos = at("--profile=" + t.profile)
	}
	there := "there are none"
	if len(names) > 0 {
		there = "there are: " + strings.Join(names, ", ")
	}
	r.report.warn(pos, "no manifest has the profile", nearest(t.profile, names), "%q changes nothing; %s", t.profile, there)
}
