// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// What a runtime lacks that does not see the folders of this host.
const (
	noFoldersText = "the runtime does not see the folders of this host, which it mounts"
	noProbesText  = "its probes are not heard of: the runtime does not see the folders of this host"
)

// lacksFolders reports whether what is to be made or started mounts folders that
// the runtime does not see.
func (v *view) lacksFolders(d *decision) bool {
	return v.observed.NoHostPaths && (d.create != "" || d.start || d.restart) && d.res.Spec.onHost()
}

// noteDeaf says of what runs that nobody hears how it is.
func (v *view) noteDeaf(d *decision) {
	c := d.res.Spec.Container
	if v.observed.NoHostPaths && d.note == nil && c != nil && (c.Liveness != nil || c.Readiness != nil) {
		d.note = &hold{reasons: []Reason{{CodeUnsupported, noProbesText, d.origin}}}
	}
}

// onHost reports whether s needs folders of this host. An install hook runs with
// those of its instance.
func (s Spec) onHost() bool {
	return s.Image != nil || s.Container != nil && (s.Container.Task != nil || slices.ContainsFunc(s.Container.Mounts, func(m Mount) bool {
		return m.Type == MountFiles || m.Type == MountDir || m.Type == MountCopy || m.Type == MountHelper
	}))
}
