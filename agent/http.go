package agent

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pawl-dev/pawl/gitsync"
)

// Public serves what the outside may reach: GitHub's webhooks, if webhook is
// not nil, and the probes. Everything else is 404.
func (a *Agent) Public(webhook http.Handler) http.Handler {
	mux := http.NewServeMux()
	if webhook != nil {
		mux.Handle("POST /webhooks/github", webhook)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.Ready() {
			http.Error(w, "the config repo has not been read yet", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return mux
}

// Internal serves what stays inside the cluster, read-only: metrics and the
// state of every environment as JSON. Further collectors, those of the edges,
// are shown beside the agent's own.
func (a *Agent) Internal(further ...prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	gather := append(prometheus.Gatherers{a.metrics.registry}, further...)
	mux.Handle("GET /metrics", promhttp.HandlerFor(gather, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.Status())
	})
	return mux
}

// Status is the state of all environments that the agent owns, in the order in
// which digests go through them.
type Status struct {
	Leadership   Leadership          `json:"leadership"`
	Commit       gitsync.Commit      `json:"commit"`
	Environments []EnvironmentStatus `json:"environments"`
}

// EnvironmentStatus is one environment at the newest commit.
type EnvironmentStatus struct {
	Name    string         `json:"name"`
	State   string         `json:"state"`
	Commit  gitsync.Commit `json:"commit"`
	Problem *ProblemStatus `json:"problem,omitempty"`
	Targets []TargetStatus `json:"targets"`
	// Entering is what was last decided about digests that may come in.
	Entering []Promotion `json:"entering,omitempty"`
}

// TargetStatus is one row of `pawl status`.
type TargetStatus struct {
	Target      string `json:"target"`
	Application string `json:"application,omitempty"`
	Stage       string `json:"stage"`
	// State is whose turn it is: working, waiting, retrying, stalled or healthy;
	// Since when, in RFC 3339, it has been so, for healthy at any commit.
	State string `json:"state"`
	Since string `json:"since,omitempty"`
	// Images are those that run, as far as pawl applied them, and Wants those of the
	// commit where it asks for others.
	Images []string `json:"images"`
	Wants  []string `json:"wants,omitempty"`
	// Tries is how many failed at this commit, and NextTry when the next one is.
	Tries   int            `json:"tries,omitempty"`
	NextTry string         `json:"nextTry,omitempty"`
	Problem *ProblemStatus `json:"problem,omitempty"`
	Drift   []DriftStatus  `json:"drift,omitempty"`
}

// ProblemStatus is why something failed.
type ProblemStatus struct {
	Reason string `json:"reason"`
	Text   string `json:"text"`
	Did    string `json:"did,omitempty"` // what the agent did about it
	Hint   string `json:"hint,omitempty"`
}

// DriftStatus is one episode of drift, newest last.
type DriftStatus struct {
	Object  string   `json:"object"`
	Fields  []string `json:"fields,omitempty"`
	Deleted bool     `json:"deleted,omitempty"`
	Manager string   `json:"manager,omitempty"`
	SeenAt  string   `json:"seenAt"`
	// TookMillis is the time from seeing the drift to having put it back; absent
	// where it was not.
	TookMillis *float64 `json:"tookMillis,omitempty"`
	Error      string   `json:"error,omitempty"`
	// Fight is "began" or "ended" where somebody undid again and again what was
	// put back, and Corrections says how often it was.
	Fight       string `json:"fight,omitempty"`
	Corrections int    `json:"corrections,omitempty"`
}
