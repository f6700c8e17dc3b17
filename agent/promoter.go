package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

// Looking again at open pull requests costs requests. Webhooks make it happen
// at once; without them it happens with growing waits. What failed is tried
// again at the same pace.
var lookAgain = doubling(5*time.Second, 10*time.Minute)

// promoter moves digests on from healthy environments, until ctx ends.
func (a *Agent) promoter(ctx context.Context) {
	looked := 0 // at open pull requests, since anything happened
	var nextLook, tryAgain <-chan time.Time
	for {
		look := false
		select {
		case <-ctx.Done():
			return
		case <-a.promotions:
		case <-a.pullRequests:
			look = true
			looked = 0
		case <-nextLook:
			look = true
		case <-tryAgain:
		}
		p := a.current.Load()
		if p == nil {
			continue
		}
		r := a.promoteAll(ctx, p, look)
		if r.changed {
			looked = 0
		}
		if look || r.changed {
			nextLook = nil
		}
		if r.open && nextLook == nil {
			looked++
			nextLook = time.After(lookAgain.wait(looked, rand.Float64()))
		}
		tryAgain = nil
		if !r.failed.IsZero() {
			tryAgain = time.After(r.failed.Sub(a.now()))
		}
	}
}

// round is what came of deciding once for every environment.
type round struct {
	changed bool      // something new was proposed
	open    bool      // a pull request is worth looking at again
	failed  time.Time // when the first of what failed may be tried again; zero if nothing did
}

// proposed is a pull request as it was last brought up to date.
type proposed struct {
	content string         // a digest of what was proposed; empty before
	base    gitsync.Commit // on which
	pull    promote.PullRequest
	again   again
	// over says that there is no open pull request to withdraw. After a start
	// that is not known, and looked up once.
	over bool
}

// due reports whether the pull request is to be brought up to date now: what
// failed waits its time out, whoever asks; content that is proposed already is
// looked at only if asked, or if it was merged and is wanted once more.
func (p *proposed) due(content string, base gitsync.Commit, look bool, now time.Time) bool {
	switch {
	case now.Before(p.again.until):
		return false
	case p.content != content, look, p.again.said != "":
		return true
	}
	return p.pull.State == promote.Merged && p.base != base
}

// open reports whether something may happen to the pull request that nobody
// will tell of.
func (p *proposed) open() bool { return p.pull.State == promote.Open || p.pull.Blocked != "" }

// promoteAll decides for every environment that digests enter by pull request.
// With look, open pull requests are looked at again even if nothing new is to
// be proposed.
func (a *Agent) promoteAll(ctx context.Context, p *demands.Demanded, look bool) (r round) {
	wanted := map[entering]bool{}
	for _, environment := range p.Pipeline.Order() {
		decision, ok := a.decide(ctx, p, environment)
		if !ok {
			continue
		}
		a.journal.decided(decision)
		for _, batch := range decision.Batches {
			key := entering{environment.Name, batch.Application}
			// What waits for its sources for a while, as with each commit, is
			// still the same pull request when they are healthy again.
			wanted[key] = true
			switch batch.Verdict {
			case promote.Go:
				a.propose(ctx, p, environment, batch, look, &r)
			case promote.Nothing:
				a.withdraw(ctx, key, batch.Why, &r)
			}
		}
	}
	for key, known := range a.proposed {
		if !wanted[key] {
			delete(a.proposed, key)
			a.heads.Delete(known.pull.Head)
		}
	}
	return r
}

// decide says what may enter an environment; not ok if that is not for this
// agent to decide.
func (a *Agent) decide(ctx context.Context, p *demands.Demanded, environment environments.Environment) (promote.Decision, bool) {
	sources, ok := a.sources(environment)
	if !ok {
		return promote.Decision{}, false
	}
	demands, err := a.entry(p, environment.Name)
	if err != nil {
		a.log.Warn().Err(err).Str("environment", environment.Name).Msg("what may enter cannot be decided")
		return promote.Decision{}, false
	}
	sources = a.evidenceFor(ctx, sources, demands.Trust)
	return promote.Decide(promote.Input{
		Pipeline: p.Pipeline, Environment: environment.Name, Head: p.Revision.Commit,
		Sources: sources, Destination: a.overlaysOf(ctx, p, environment.Name), Trust: demands.Trust, Approvals: demands.Approvals, Now: a.now(),
	}), true
}

// evidenceFor looks the images of the sources up under the trust of their
// destination, which may demand what a source does not. Where registries cannot
// be asked, what is known stays.
func (a *Agent) evidenceFor(ctx context.Context, sources []promote.EnvironmentState, trust policies.Trust) []promote.EnvironmentState {
	sources = slices.Clone(sources)
	for i, s := range sources {
		sources[i].Targets = slices.Clone(s.Targets)
		for j, t := range s.Targets {
			found, err := a.edges.Evidence.Collect(ctx, t.Images, trust)
			if err != nil || len(t.Evidence) != len(t.Images) {
				continue
			}
			evidence := make([]policies.Evidence, len(t.Images))
			for k, image := range t.Images {
				evidence[k] = found[image.Pinned()]
			}
			sources[i].Targets[j].Evidence = evidence
		}
	}
	return sources
}

// sources are the states of the environments before one; not ok if the
// environment is the first or another agent knows them.
func (a *Agent) sources(e environments.Environment) (states []promote.EnvironmentState, ok bool) {
	for _, name := range e.After {
		if _, owned := a.edges.Clusters[name]; !owned {
			return nil, false
		}
		if state, known := a.board.environment(name); known {
			states = append(states, state)
		}
	}
	return states, len(e.After) > 0
}

// propose brings one pull request up to date, and merges it where the agent is
// to do that.
func (a *Agent) propose(ctx context.Context, p *demands.Demanded, e environments.Environment, batch promote.Batch, look bool, r *round) {
	key := entering{e.Name, batch.Application}
	files, err := a.bumped(ctx, p, batch.Moves)
	if err != nil {
		a.journal.failed(key, fmt.Errorf("the promotion cannot be written: %w", err))
		return
	}
	known := a.proposal(key)
	known.over = false
	content := contentOf(files)
	now := a.now()
	if quiet := a.silence.until; now.Before(quiet) {
		known.again.until = quiet
	}
	if known.due(content, p.Revision.Commit, look, now) {
		pull, err := a.bring(ctx, p, e, batch, files)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.refused(known, key, err, now)
		} else {
			a.brought(known, key, pull)
			r.changed = r.changed || known.content != content
			known.content, known.base = content, p.Revision.Commit
		}
	}
	r.open = r.open || known.open()
	r.wait(known.again.until, now)
}

// brought takes in a pull request that is up to date.
func (a *Agent) brought(known *proposed, key entering, pull promote.PullRequest) {
	a.silence.succeeded()
	known.again.succeeded()
	a.journal.pull(key, pull)
	if known.pull.Head != pull.Head {
		a.heads.Delete(known.pull.Head)
	}
	if pull.State == promote.Open {
		a.heads.Store(pull.Head, true)
	}
	if known.pull != pull {
		a.metrics.proposals.WithLabelValues(key.environment, string(pull.State)).Inc()
	}
	known.pull = pull
}

// refused makes a pull request wait after a failure. A limit is meant for all
// of them, and told once.
func (a *Agent) refused(known *proposed, key entering, err error, now time.Time) {
	a.metrics.proposals.WithLabelValues(key.environment, "failed").Inc()
	var limited *promote.RateLimited
	if !errors.As(err, &limited) {
		if known.again.failed(err, now) {
			a.journal.failed(key, err)
		}
		return
	}
	if a.silence.failed(err, now) {
		a.journal.failed(key, err)
	}
	known.again.until, known.again.said = a.silence.until, err.Error()
}

// wait makes sure that what failed is tried again.
func (r *round) wait(until, now time.Time) {
	if until.After(now) && (r.failed.IsZero() || until.Before(r.failed)) {
		r.failed = until
	}
}

func (a *Agent) proposal(key entering) *proposed {
	known := a.proposed[key]
	if known == nil {
		known = &proposed{again: again{pace: lookAgain}}
		a.proposed[key] = known
	}
	return known
}

// withdraw takes back the pull request of a batch that is no longer wanted:
// the digests arrived in another way, or the source went back.
func (a *Agent) withdraw(ctx context.Context, key entering, why string, r *round) {
	known, now := a.proposal(key), a.now()
	if known.pull.State != "" && known.pull.State != promote.Open {
		known.over = true
	}
	if quiet := a.silence.until; now.Before(quiet) {
		known.again.until = quiet
	}
	if !known.over && !now.Before(known.again.until) {
		err := a.edges.Forge.Withdraw(ctx, promote.BranchFor(key.environment, key.application), a.options.Branch, why)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.refused(known, key, err, now)
		default:
			known.over = true
			a.silence.succeeded()
			known.again.succeeded()
		}
	}
	if known.over {
		a.heads.Delete(known.pull.Head)
		known.content, known.pull = "", promote.PullRequest{}
	}
	r.wait(known.again.until, now)
}

// bring makes a pull request be as decided, and merges it where the agent is
// to do that. Time has passed with GitHub since the decision, so it is made
// once more before the merge: a source may have fallen ill.
func (a *Agent) bring(ctx context.Context, p *demands.Demanded, e environments.Environment, batch promote.Batch, files map[string][]byte) (promote.PullRequest, error) {
	base := promote.Base{Branch: a.options.Branch, Commit: p.Revision.Commit, Files: files}
	pull, err := a.edges.Forge.Propose(ctx, promote.Propose(e.Name, batch, base))
	if err != nil || pull.State != promote.Open || pull.Blocked != "" || e.Promotion.Merge != environments.MergeAuto {
		return pull, err
	}
	decision, _ := a.decide(ctx, p, e)
	still := slices.ContainsFunc(decision.Batches, func(b promote.Batch) bool {
		return b.Verdict == promote.Go && b.Application == batch.Application && reflect.DeepEqual(b.Moves, batch.Moves)
	})
	if !still || a.current.Load() != p {
		return pull, nil
	}
	return a.merge(ctx, pull)
}

// merge merges a pull request whose head was checked, and wakes the loop. That
// GitHub does not allow it yet is no error.
func (a *Agent) merge(ctx context.Context, pull promote.PullRequest) (promote.PullRequest, error) {
	err := a.edges.Forge.Merge(ctx, pull)
	var blocked *promote.Blocked
	switch {
	case errors.As(err, &blocked):
		pull.Blocked = blocked.Reason
		return pull, nil
	case err != nil:
		return pull, fmt.Errorf("merge pull request #%d: %w", pull.Number, err)
	}
	pull.State = promote.Merged
	wake(a.fetch)
	return pull, nil
}

// contentOf identifies what a pull request writes.
func contentOf(files map[string][]byte) string {
	h := sha256.New()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%d\x00", file, len(files[file]))
		h.Write(files[file])
	}
	return hex.EncodeToString(h.Sum(nil))
}
