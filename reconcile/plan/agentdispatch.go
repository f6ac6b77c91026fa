// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Dispatch says how the executions of a TaskAgent are made and answered. None of it
// is part of a revision: to change it makes no new one.
type Dispatch struct {
	// ContentType is that of replies; "" = application/octet-stream.
	ContentType string
	// MaxConcurrent is how many executions may go on at once; 0 = no limit.
	MaxConcurrent int
	Mode          DeliveryMode
	// Name begins the names of its containers at the runtime, which are for people.
	Name string
	// Schedule is as in schedule.Parse; "" = it runs on requests only. Its runs are
	// given ScheduleInput, which is JSON.
	Schedule      string
	ScheduleInput json.RawMessage
	// StateLimit is how many bytes may be in the volume StateVolume before an
	// execution; 0 = no limit. "" = its executions share no volume.
	StateLimit  int64
	StateVolume string
	// Streaming: a reply is sent as it is written.
	Streaming bool
	// Timeout is how long an execution may take from when its request is accepted; > 0.
	Timeout time.Duration
	Warm    WarmPool
	Zone    string // IANA name; "" = UTC
}

// WarmPool says which containers are kept ready for executions.
type WarmPool struct {
	Size int           // 0 = none
	TTL  time.Duration // how long one stays that nothing needs; > 0
	// Started: their process runs already, and waits for its input.
	Started bool
}

// DeliveryMode says how a request reaches a TaskAgent.
type DeliveryMode string

// The modes.
const (
	DeliverStdin    DeliveryMode = "Stdin"
	DeliverMetadata DeliveryMode = "Metadata"
)

// The settings, as manifests spell them. They are the keys of the data of a
// [RecordDispatch].
const (
	settingContentType   = "reconcile/content-type"
	settingMaxConcurrent = "maxConcurrent"
	settingMode          = "delivery.mode"
	settingName          = "name"
	settingSchedule      = "schedule"
	settingScheduleInput = "scheduleInput"
	settingStateLimit    = "state.sizeLimit" // in bytes
	settingStateVolume   = "state"
	settingStreaming     = "streaming.enabled"
	settingTimeout       = "timeout"
	settingWarmSize      = "warmPoolSize"
	settingWarmTTL       = "warmPoolIdleTTL"
	settingWarmStarted   = "reconcile/warm"
	settingZone          = "timeZone"
)

// Data is what a [RecordDispatch] says of d. What is not set is left out.
func (d Dispatch) Data() map[string]string {
	started := ""
	if d.Warm.Started {
		started = "started"
	}
	data := map[string]string{
		settingContentType:   d.ContentType,
		settingMaxConcurrent: countText(int64(d.MaxConcurrent)),
		settingMode:          string(d.Mode),
		settingName:          d.Name,
		settingSchedule:      d.Schedule,
		settingScheduleInput: string(d.ScheduleInput),
		settingStateLimit:    countText(d.StateLimit),
		settingStateVolume:   d.StateVolume,
		settingStreaming:     trueText(d.Streaming),
		settingTimeout:       d.Timeout.String(),
		settingWarmSize:      countText(int64(d.Warm.Size)),
		settingWarmTTL:       d.Warm.TTL.String(),
		settingWarmStarted:   started,
		settingZone:          d.Zone,
	}
	maps.DeleteFunc(data, func(_, v string) bool { return v == "" })
	return data
}

// Dispatch is the inverse of [Dispatch.Data]. What makes no sense is zero.
func (r Record) Dispatch() Dispatch {
	if r.Kind != RecordDispatch {
		return Dispatch{}
	}
	d := Dispatch{
		ContentType: r.Data[settingContentType],
		Mode:        DeliveryMode(r.Data[settingMode]),
		Name:        r.Data[settingName],
		Schedule:    r.Data[settingSchedule],
		StateVolume: r.Data[settingStateVolume],
		Streaming:   r.Data[settingStreaming] == "true",
		Warm:        WarmPool{Started: r.Data[settingWarmStarted] == "started"},
		Zone:        r.Data[settingZone],
	}
	if in := r.Data[settingScheduleInput]; json.Valid([]byte(in)) {
		d.ScheduleInput = json.RawMessage(in)
	}
	d.MaxConcurrent, _ = strconv.Atoi(r.Data[settingMaxConcurrent])
	d.StateLimit, _ = strconv.ParseInt(r.Data[settingStateLimit], 10, 64)
	d.Timeout, _ = time.ParseDuration(r.Data[settingTimeout])
	d.Warm.Size, _ = strconv.Atoi(r.Data[settingWarmSize])
	d.Warm.TTL, _ = time.ParseDuration(r.Data[settingWarmTTL])
	return d
}

func countText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func trueText(b bool) string {
	if !b {
		return ""
	}
	return "true"
}

// Agent is a TaskAgent as dispatch has to know it.
type Agent struct {
	ID ID
	Dispatch
	// Revision is what executions are made from now, the newest that is ready; its
	// zero value = none is, and no request can be answered.
	Revision Revision
	// Stopped: somebody asked for it to be stopped. It takes no request.
	Stopped bool
	// Restarted is when somebody asked for containers that wait for requests to be
	// made anew; zero = nobody did.
	Restarted time.Time
}

// Agents returns the TaskAgents, sorted by ID. What is recorded of one counts
// rather than what d wants of it, since that may be invalid, held, or yet to be
// prepared, while what was ready before goes on. One of which nothing is recorded
// has no Revision.
func Agents(d Desired, r Records) []Agent {
	all := map[ID]Agent{}
	for _, res := range d.Resources {
		if res.ID.Kind != TaskAgent || d.Destroy {
			continue
		}
		id := res.ID.Canonical()
		a := Agent{ID: id, Dispatch: Dispatch{Name: res.Name}}
		if res.Dispatch != nil {
			a.Dispatch = *res.Dispatch
		}
		all[id] = a
	}
	revisions, recorded := map[ID]Revision{}, map[ID]bool{}
	for _, rec := range slices.Backward(r.Records) { // sorted, they have the newest revision first
		id := rec.ID.Canonical()
		switch rec.Kind {
		case RecordDispatch:
			all[id], recorded[id] = Agent{ID: id, Dispatch: rec.Dispatch()}, true
		case RecordRevision:
			if rec.revisionNumber() <= revisions[id].Number {
				continue
			}
			if rev, ok := rec.Revision(); ok && rev.Usable() {
				revisions[id] = rev
			}
		}
	}
	for _, rec := range r.Records {
		a, known := all[rec.ID.Canonical()]
		if !known || rec.Kind != RecordWish {
			continue
		}
		switch rec.Key {
		case WishStop:
			a.Stopped = rec.Data["wanted"] == "true"
		case WishRestart:
			a.Restarted = rec.At
		}
		all[a.ID] = a
	}
	var out []Agent
	for _, id := range sortedIDs(maps.Keys(all)) {
		a := all[id]
		if recorded[id] {
			a.Revision = revisions[id]
		}
		out = append(out, a)
	}
	return out
}
