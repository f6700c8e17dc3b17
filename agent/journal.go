package agent

import (
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
)

// journal remembers the last decision about what enters each environment, for
// the status page, and logs a decision when it differs from the one before.
type journal struct {
	log zerolog.Logger

	mu      sync.Mutex
	entries map[entering]Promotion
}

// entering is one application's way into one environment.
type entering struct{ environment, application string }

func (e entering) String() string {
	return environments.Target{Environment: e.environment, Application: e.application}.String()
}

// Promotion is what was last decided about an application's way into an environment.
type Promotion struct {
	Environment string `json:"environment"`
	Application string `json:"application,omitempty"` // empty where all go together
	Verdict     string `json:"verdict"`               // nothing, wait or go
	Why         string `json:"why,omitempty"`
	PullRequest int    `json:"pullRequest,omitempty"`
	URL         string `json:"url,omitempty"`
	State       string `json:"state,omitempty"`
	Blocked     string `json:"blocked,omitempty"`
}

func newJournal(log zerolog.Logger) *journal {
	return &journal{log: log, entries: map[entering]Promotion{}}
}

// decided takes in a decision about an environment.
func (j *journal) decided(d promote.Decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key := range j.entries { // applications go, or go together from now on
		if key.environment == d.Environment && !slices.ContainsFunc(d.Batches, func(b promote.Batch) bool { return b.Application == key.application }) {
			delete(j.entries, key)
		}
	}
	for _, b := range d.Batches {
		key := entering{d.Environment, b.Application}
		before, now := j.entries[key], Promotion{
			Environment: d.Environment, Application: b.Application, Verdict: string(b.Verdict), Why: b.Why,
		}
		if b.Verdict != promote.Nothing { // a pull request stays open while its sources are looked at again
			now.PullRequest, now.URL, now.State, now.Blocked = before.PullRequest, before.URL, before.State, before.Blocked
		}
		j.entries[key] = now
		if before.Verdict != now.Verdict || before.Why != now.Why {
			level := zerolog.DebugLevel
			if b.Verdict == promote.Go {
				level = zerolog.InfoLevel
			}
			j.log.WithLevel(level).Str("target", key.String()).Str("verdict", now.Verdict).Int("digests", len(b.Moves)).Str("why", now.Why).Msg("decided what may enter")
		}
	}
}

// pull takes in the pull request of a batch.
func (j *journal) pull(key entering, pull promote.PullRequest) {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := j.entries[key]
	now := before
	now.PullRequest, now.URL, now.State, now.Blocked = pull.Number, pull.URL, string(pull.State), pull.Blocked
	j.entries[key] = now
	if before != now {
		j.log.Info().Str("target", key.String()).Int("pull", pull.Number).Str("state", now.State).Str("blocked", now.Blocked).Msg("promotion pull request")
	}
}

// failed takes in why what was decided could not be done.
func (j *journal) failed(key entering, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.entries[key]
	if e.Blocked != err.Error() {
		j.log.Warn().Str("target", key.String()).Err(err).Msg("what was decided could not be done yet")
	}
	e.Blocked = err.Error()
	j.entries[key] = e
}

// of returns what was decided about an environment, by application.
func (j *journal) of(environment string, order []string) []Promotion {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []Promotion
	for _, application := range append([]string{""}, order...) {
		if p, ok := j.entries[entering{environment, application}]; ok {
			list = append(list, p)
		}
	}
	return list
}
