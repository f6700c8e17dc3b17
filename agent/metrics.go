package agent

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are what Prometheus sees; docs/reference.md lists them.
type metrics struct {
	registry        *prometheus.Registry
	events          *prometheus.CounterVec
	fetches         *prometheus.CounterVec
	stale           prometheus.Gauge
	renders         *prometheus.CounterVec
	deploys         *prometheus.CounterVec
	drift           *prometheus.CounterVec
	driftSeconds    prometheus.Histogram
	reports         *prometheus.CounterVec
	proposals       *prometheus.CounterVec
	retries         *prometheus.CounterVec
	rollbacks       *prometheus.CounterVec
	rollbackSeconds prometheus.Histogram
}

func newMetrics(leadership func() Leadership) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events:   counter("pawl_events_total", "Hints that something moved, by origin.", "origin"),
		fetches:  counter("pawl_fetches_total", "Looks at the config repo's branch, by result.", "result"),
		stale: prometheus.NewGauge(prometheus.GaugeOpts{Name: "pawl_branch_stale",
			Help: "1 while the branch cannot be read and the last good revision is kept."}),
		renders: counter("pawl_renders_total", "Builds of overlays; unchanged ones are not built.", "environment"),
		deploys: counter("pawl_deploys_total", "Tries to bring a revision to a target, by result: applied or the reason.", "environment", "application", "result"),
		drift:   counter("pawl_drift_total", "Differences between release and live objects, by what was done: corrected, reported, failed, fight where somebody else does not let go, or rewritten where admission changed what is declared.", "environment", "result"),
		driftSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pawl_drift_correction_seconds",
			Help: "From seeing drift to having put it back.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}),
		reports:   counter("pawl_reports_total", "Reports to GitHub, by state, or failed.", "state"),
		proposals: counter("pawl_proposals_total", "Promotion pull requests brought up to date, by what came of it.", "environment", "result"),
	}
	leader := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_leader", Help: "1 while this replica is the one that works."}, func() float64 {
		if leadership().Standby {
			return 0
		}
		return 1
	})
	m.retries = counter("pawl_retries_total", "Tries made again, by the reason why the one before failed.", "environment", "application", "reason")
	m.rollbacks = counter("pawl_rollbacks_total", "Releases that failed before they were healthy, or at a gate afterwards, by what came of it: returned or impossible; and those that a person returned from: by hand.", "environment", "result")
	m.rollbackSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pawl_rollback_seconds",
		Help: "From seeing a release fail to having applied the last good one.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 14)})
	// What the process needs; of the heap also what was in use after the last collection.
	inUse := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)}
	m.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(inUse)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(leader, m.retries, m.rollbacks, m.rollbackSeconds, m.events, m.fetches, m.stale, m.renders, m.deploys, m.drift, m.driftSeconds, m.reports, m.proposals)
	return m
}

// conditions is the gauge of the condition that each target is in.
type conditions struct{ board *board }

var conditionDesc = prometheus.NewDesc("pawl_target_state",
	"1 for the state that a target is in: working, waiting, retrying, stalled or healthy.", []string{"environment", "application", "state"}, nil)

var unwatchedDesc = prometheus.NewDesc("pawl_unwatched_objects",
	"Objects of a target whose drift is not seen, as their kind cannot be watched.", []string{"environment", "application"}, nil)

func (c conditions) Describe(all chan<- *prometheus.Desc) {
	all <- conditionDesc
	all <- unwatchedDesc
}

func (c conditions) Collect(all chan<- prometheus.Metric) {
	seen := map[string]bool{} // a series that stands twice would spoil all the others
	for _, state := range c.board.all() {
		for _, t := range state.Targets {
			if seen[t.Target.String()] {
				continue
			}
			seen[t.Target.String()] = true
			all <- prometheus.MustNewConstMetric(conditionDesc, prometheus.GaugeValue, 1, t.Target.Environment, t.Target.Application, string(t.Condition()))
			if t.Applied == nil {
				continue
			}
			unwatched := 0
			for _, u := range t.Health.Unwatched {
				unwatched += u.Objects
			}
			all <- prometheus.MustNewConstMetric(unwatchedDesc, prometheus.GaugeValue, float64(unwatched), t.Target.Environment, t.Target.Application)
		}
	}
}
