// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"reconcile/reconcile"
)

// metrics is what a daemon counts and what it shows of its state. The names are
// an interface: they are changed like one.
type metrics struct {
	registry *prometheus.Registry
	passes   *prometheus.CounterVec
	duration prometheus.Histogram
	steps    *prometheus.CounterVec
	flapping prometheus.Gauge

	executions *prometheus.CounterVec
	executing  *prometheus.HistogramVec
}

// gauges are asked at each scrape.
type gauges struct {
	instances func() map[string]int // by the word of their state, in lower case
	sources   func() []sourceAge
	agents    func() []agentLoad
}

// sourceAge says how old what is known of a source is.
type sourceAge struct {
	name  string
	since time.Time // when the remote last answered; zero = never
	stale time.Duration
}

func newMetrics(g gauges) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		passes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconcile_passes_total", Help: "Passes by result, those that found nothing to do included.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "reconcile_pass_duration_seconds", Help: "Time from the beginning of a pass to its end.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconcile_steps_total", Help: "Steps of plans by operation and result.",
		}, []string{"op", "result"}),
		flapping: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "reconcile_unsettled", Help: "Objects to which the last passes did the same again and again.",
		}),
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "reconcile_executions_total", Help: "Executions of TaskAgents that have ended, by outcome.",
		}, []string{"agent", "outcome"}),
		executing: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "reconcile_execution_duration_seconds", Help: "Time from when a request for a TaskAgent is accepted to the end of its execution.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 100, 600, 3600},
		}, []string{"agent"}),
	}
	for _, r := range []reconcile.Result{
		reconcile.ResultUnchanged, reconcile.ResultConverged, reconcile.ResultFailed,
		reconcile.ResultRefused, reconcile.ResultSuperseded, reconcile.ResultInterrupted,
	} {
		m.passes.WithLabelValues(string(r)) // so that rates begin at zero
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "reconcile_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.passes, m.duration, m.steps, m.flapping, m.executions, m.executing, build, newGaugeCollector(g), newAgentCollector(g.agents),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// ended counts a pass.
func (m *metrics) ended(rec reconcile.PassRecord, res reconcile.PassResult) {
	m.passes.WithLabelValues(string(rec.Result)).Inc()
	m.duration.Observe(rec.Ended.Sub(rec.Began).Seconds())
	if rec.Result != reconcile.ResultSuperseded {
		m.flapping.Set(float64(len(res.Unsettled)))
	}
	for _, st := range res.Outcome.Steps {
		m.steps.WithLabelValues(string(st.Step.Op), string(st.State)).Inc()
	}
}

// gaugeCollector turns gauges into metrics.
type gaugeCollector struct {
	gauges
	instancesDesc, staleDesc, successDesc *prometheus.Desc
}

func newGaugeCollector(g gauges) *gaugeCollector {
	return &gaugeCollector{
		gauges:        g,
		instancesDesc: prometheus.NewDesc("reconcile_instances", "Containers of the workspace by state.", []string{"state"}, nil),
		staleDesc:     prometheus.NewDesc("reconcile_source_stale_seconds", "For how long a git source could not be asked; 0 while it answers.", []string{"source"}, nil),
		successDesc:   prometheus.NewDesc("reconcile_source_last_success_timestamp_seconds", "When a git source last answered.", []string{"source"}, nil),
	}
}

func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.instancesDesc
	ch <- c.staleDesc
	ch <- c.successDesc
}

func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	for state, n := range c.instances() {
		ch <- prometheus.MustNewConstMetric(c.instancesDesc, prometheus.GaugeValue, float64(n), state)
	}
	for _, s := range c.sources() {
		ch <- prometheus.MustNewConstMetric(c.staleDesc, prometheus.GaugeValue, s.stale.Seconds(), s.name)
		if !s.since.IsZero() {
			ch <- prometheus.MustNewConstMetric(c.successDesc, prometheus.GaugeValue, float64(s.since.UnixMilli())/1000, s.name)
		}
	}
}
