// SPDX-License-Identifier: Apache-2.0

package plan

// removeRevisions decides about a TaskAgent that nothing asks for. Its revisions
// outlive a destroy, as all records do, and are counted on when it comes back.
func (v *view) removeRevisions(d *decision) {
	d.revision = &revisionPlan{remove: true}
	forget := func(kind RecordKind, key string) {
		d.revision.forgets = append(d.revision.forgets, Record{ID: d.id, Kind: kind, Key: key, At: v.opts.Now, Forget: true})
	}
	if _, active := v.settingsOf(d.id); active {
		forget(RecordDispatch, "")
	}
	if v.destroy {
		return
	}
	for _, rev := range v.revisions[d.id] {
		forget(RecordRevision, revisionKey(rev.Number))
	}
}

// addDispatched adds the IDs of TaskAgents that are to take no request any more.
func (v *view) addDispatched(ids map[ID]bool) {
	for key := range v.records {
		if key.kind == RecordDispatch && (v.desired[key.id] == nil || v.destroy) {
			ids[key.id] = true
		}
	}
	for id := range v.revisions {
		if v.desired[id] == nil && !v.destroy {
			ids[id] = true
		}
	}
}

// dispatched reports whether id is a TaskAgent that may take requests.
func (v *view) dispatched(id ID) bool {
	_, active := v.settingsOf(id)
	return active && len(v.revisions[id]) > 0
}
