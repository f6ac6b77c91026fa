// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"reconcile/dispatch"
)

// agentLoad is what goes on with a TaskAgent.
type agentLoad struct {
	agent                         string
	inFlight, ready, want, missed int
}

// loads are what goes on with all TaskAgents.
func (t *taskAgents) loads() []agentLoad {
	var out []agentLoad
	d := t.dispatcher.Load()
	for _, id := range t.list() {
		if st, ok := d.Status(id); ok {
			out = append(out, agentLoad{id.NamespacedName(), st.InFlight, st.Slots.Ready, st.Slots.Want, st.Cron.Skipped})
		}
	}
	return out
}

// executed counts an execution.
func (m *metrics) executed(e dispatch.Execution) {
	label := e.Agent.NamespacedName()
	m.executions.WithLabelValues(label, string(e.Outcome)).Inc()
	m.executing.WithLabelValues(label).Observe(e.Ended.Sub(e.Accepted).Seconds())
}

// agentCollector turns the loads of TaskAgents into metrics.
type agentCollector struct {
	loads                                func() []agentLoad
	inFlight, slots, slotsWanted, missed *prometheus.Desc
}

func newAgentCollector(loads func() []agentLoad) *agentCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"agent"}, nil)
	}
	return &agentCollector{
		loads:       loads,
		inFlight:    desc("reconcile_executions_in_flight", "Executions of a TaskAgent that count for its maxConcurrent."),
		slots:       desc("reconcile_slots_ready", "Containers that wait for an execution of a TaskAgent."),
		slotsWanted: desc("reconcile_slots_wanted", "How many are kept."),
		missed:      desc("reconcile_cron_skipped_total", "Slots of the schedule of a TaskAgent that came while the run before went on."),
	}
}

// Describe implements [prometheus.Collector].
func (c *agentCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.inFlight
	ch <- c.slots
	ch <- c.slotsWanted
	ch <- c.missed
}

// Collect implements [prometheus.Collector].
func (c *agentCollector) Collect(ch chan<- prometheus.Metric) {
	for _, l := range c.loads() {
		ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(l.inFlight), l.agent)
		ch <- prometheus.MustNewConstMetric(c.slots, prometheus.GaugeValue, float64(l.ready), l.agent)
		ch <- prometheus.MustNewConstMetric(c.slotsWanted, prometheus.GaugeValue, float64(l.want), l.agent)
		ch <- prometheus.MustNewConstMetric(c.missed, prometheus.CounterValue, float64(l.missed), l.agent)
	}
}
