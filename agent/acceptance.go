package agent

import (
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// acceptance is what the commit said at which a target's release was accepted.
// How that is kept, whether it is rolled back and what may return is decided by
// it: a commit that is refused has no say in it.
type acceptance struct {
	environment environments.Environment
	repository  *demands.Demanded
	declared    []render.KindFields
}

func (j job) acceptance() acceptance { return acceptance{j.environment, j.repository, j.declared} }

// by is the job with what was accepted in the place of what its commit says.
func (j job) by(a acceptance) job {
	j.environment, j.repository, j.declared = a.environment, a.repository, a.declared
	return j
}

// environmentAlone is a copy, which keeps nothing else of the job in memory.
func (j job) environmentAlone() *environments.Environment {
	environment := j.environment
	return &environment
}

// asAccepted is a job by what was accepted, as far as that is known: since the
// agent was started anew it is the environment alone, as a hold or the good
// release has it.
func (a *Agent) asAccepted(j job, g drift.Good, hold *drift.Hold) job {
	if accepted, ok := a.board.acceptanceOf(j.target); ok {
		return j.by(accepted)
	}
	j.environment = g.Terms.Environment
	if hold != nil && hold.Environment != nil {
		j.environment = *hold.Environment
	}
	return j
}

// acceptanceOf is by what a target's release was accepted; false where nothing is
// kept.
func (b *board) acceptanceOf(t environments.Target) (acceptance, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.kept[t]
	if k == nil {
		return acceptance{}, false
	}
	return k.by, true
}

// accept notes that a later commit was accepted, which changes nothing here.
func (b *board) accept(t environments.Target, by acceptance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.kept[t]; k != nil {
		k.by = by
	}
}
