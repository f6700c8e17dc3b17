package agent

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// deployAndAnswer deploys, then does what a person asked meanwhile.
func (a *Agent) deployAndAnswer(ctx context.Context, j job) error {
	err := a.deploy(ctx, j)
	if cluster, ok := a.edges.Clusters[j.environment.Name]; ok && ctx.Err() == nil {
		a.answerRollback(ctx, cluster, j)
	}
	return err
}

// deploy takes one target through the stages at one revision. It returns as
// soon as the objects are applied; health follows by notice. Any error leaves
// the target's last release running and kept.
func (a *Agent) deploy(ctx context.Context, j job) error {
	switch {
	case j.keep:
		return a.keepOnly(ctx, j)
	case j.gone != nil:
		return a.leave(ctx, j)
	}
	started := a.now()
	if j.retry {
		a.metrics.retries.WithLabelValues(j.target.Environment, j.target.Application, j.tries.reason).Inc()
	}
	unchanged, err := a.stages(ctx, j)
	log := a.log.With().Str("target", j.target.String()).Str("commit", string(j.revision.Commit)).Logger()
	if err == nil {
		j.tries.succeeded()
		a.board.tried(j.target, j.revision.Commit, *j.tries)
	}
	if unchanged && err == nil {
		log.Debug().Msg("there is nothing to apply")
		return nil
	}
	if err == nil {
		a.metrics.deploys.WithLabelValues(j.target.Environment, j.target.Application, "applied").Inc()
		log.Info().Dur("took_ms", a.now().Sub(started)).Msg("applied")
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	p, stage, again := problem(err), promote.StageFailed, j.tries.failed(err, a.now())
	a.board.tried(j.target, j.revision.Commit, *j.tries)
	if as[*drift.PruneHeld](err) { // the board has it: the release is applied, and its health is watched
		a.metrics.deploys.WithLabelValues(j.target.Environment, j.target.Application, p.Reason).Inc()
		log.Warn().Str("reason", p.Reason).Msg(p.Text)
		return err
	}
	var unpinned *render.UnpinnedError
	switch {
	case errors.As(err, &unpinned) && promote.AwaitsDigest(j.environment, unpinned.Images()):
		stage, p.Hint = promote.StageAwaiting, "The digest is committed, or promoted by pull request, as soon as there is a verified one."
	case classify(err).fate == retry && again.Exhausted == 0:
		stage = promote.StageRetrying
	}
	a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) {
		if stage != promote.StageRetrying || s.Stage != stage || !alike(s.Problem, p) {
			s.Stage, s.Problem, s.Retry = stage, p, again
		}
	})
	a.metrics.deploys.WithLabelValues(j.target.Environment, j.target.Application, p.Reason).Inc()
	log.Warn().Str("reason", p.Reason).Str("stage", string(stage)).Msg(p.Text)
	_ = a.keepRunning(ctx, j) // it is tried again with the commit
	return err
}

// alike reports whether two problems differ in numbers at most: the ports and
// times in the words of a connection that fails are others with each try, and
// each new word on the check costs a request.
func alike(a, b promote.Problem) bool {
	return a.Reason == b.Reason && numbers.ReplaceAllString(a.Text, "0") == numbers.ReplaceAllString(b.Text, "0")
}

var numbers = regexp.MustCompile(`[0-9]+`)

// stages reports whether there was nothing to do, because the release that the
// target has is the one that the commit asks for.
func (a *Agent) stages(ctx context.Context, j job) (unchanged bool, err error) {
	at := func(stage promote.Stage) {
		if j.retry {
			return // a check does not flicker between two tries that end alike
		}
		a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Stage = stage })
	}

	at(promote.StageRendering)
	outline, err := a.render(ctx, j)
	if err != nil {
		return false, err
	}
	base, err := a.baseline()
	if err != nil {
		return false, err
	}
	settings, err := a.settings(j, base)
	if err != nil {
		return false, err
	}
	cluster, ok := a.edges.Clusters[j.environment.Name]
	if !ok {
		return false, fmt.Errorf("%s: this agent has no cluster for environment %s", j.target, j.environment.Name)
	}
	hold, err := cluster.Held(ctx, j.target)
	if err != nil {
		return false, fmt.Errorf("%s: find out whether its release is held: %w", j.target, err)
	}
	stays := hold.Stays(outline.Release.Digest)
	if hold.Held(outline.Release.Digest) && !stays && !hold.Outdated(j.judgedBy()) {
		if back, err := a.stayBack(ctx, cluster, j, *hold); back || err != nil {
			return true, err
		}
		stays = hold.Gate
	}
	if a.board.resume(j.target, j.revision.Commit, settings, outline.Release) {
		a.board.accept(j.target, j.acceptance())
		return true, nil
	}

	at(promote.StageVerifying)
	built, err := a.build(ctx, j.revision, j.target, j.declared)
	if err != nil {
		return false, err
	}
	accepted, err := a.gatherer.LastAccepted(ctx, cluster, j.target, j.revision)
	if err != nil {
		return false, err
	}
	judged := demands.Case{
		Revision: j.revision, Environment: j.environment, Target: j.target,
		Demanded: j.repository, Built: built, Accepted: accepted,
	}
	verified, found, err := a.judge(ctx, judged, base)
	if err != nil {
		a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Policies = found.Policies })
		if noted := a.gatherer.Refused(ctx, cluster, j.target); noted != nil {
			a.log.Warn().Err(noted).Str("target", j.target.String()).Msg("what a new target is compared with could not be noted")
		}
		return false, err
	}

	word, err := a.gatherer.PruneWord(ctx, judged)
	if err != nil {
		return false, err
	}

	at(promote.StageApplying)
	terms := drift.Terms{Environment: j.environment, Demands: settings.demands, Health: j.repository.Health}
	good := candidate{drift.Good{Release: built.Release, Terms: terms}, built.Packed, j.acceptance()}
	good.Release.Objects = nil
	a.board.expect(j.target, settings, good, j.turned, nil)
	if stays {
		a.board.condemned(j.target, hold.Why)
	}
	terms.Word = word // which is good once, and not remembered
	terms.Others = func(ctx context.Context) (*drift.Others, error) { return a.others(ctx, j, cluster) }
	applied, err := cluster.Apply(ctx, verified, terms)
	if err != nil {
		a.board.abandon(j.target)
		return false, err
	}
	if !stays { // the branch has moved on
		if err := cluster.Hold(ctx, j.target, nil); err != nil {
			return false, err
		}
	}
	a.board.applied(j.target, j.revision.Commit, verified, applied)
	if applied.Held != nil { // looked at again: somebody may delete it by hand
		return false, applied.Held
	}
	return false, nil
}

// render builds the release, tells it in outline, and shows the images that it
// has, pinned or not.
func (a *Agent) render(ctx context.Context, j job) (render.Result, error) {
	result, err := a.outline(ctx, j.revision, j.target, j.declared)
	if err != nil {
		var unpinned *render.UnpinnedError
		if errors.As(err, &unpinned) {
			a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) { s.Unpinned = unpinned.Images() })
		}
		return render.Result{}, err
	}
	a.board.update(j.target, j.revision.Commit, func(s *promote.TargetState) {
		s.Images, s.Unpinned = result.Release.Images, nil
		s.Places, s.Unlisted = result.Release.Places, result.Release.Unlisted
	})
	return result, nil
}

// judge gathers what is demanded to be known of a release and judges it.
func (a *Agent) judge(ctx context.Context, c demands.Case, base *demands.Baseline) (policies.Verified, policies.Findings, error) {
	of, found, err := a.gatherer.Gather(ctx, c, base)
	if err != nil {
		return policies.Verified{}, policies.Findings{}, err
	}
	verified, err := policies.Judge(c.Built.Release, of, found)
	return verified, found, err
}

// settings are all that a target's being kept depends on beside its release.
func (a *Agent) settings(j job, base *demands.Baseline) (settings, error) {
	of, err := base.Demands(j.repository, j.environment.Name)
	if err != nil {
		return settings{}, err
	}
	s := settings{
		drift: j.environment.Drift, healthTimeout: j.environment.HealthTimeout, prune: j.environment.Prune.Percent(),
		baseline: base, demands: j.repository.Fingerprint(j.environment.Name), health: j.repository.Health.Digest(),
	}
	if of.Commit.Signed != policies.SignedNone || of.Approvals > 0 {
		// Each commit that changes nothing here is noted as accepted: a commit that
		// was refused and then taken back must not be held against later ones.
		s.commit = j.revision.Commit
	}
	return s, nil
}

// notice takes in what watching a cluster found.
func (a *Agent) notice(n drift.Notice) {
	if n.Rollback != nil {
		a.askRollback(n.Target, *n.Rollback)
		return
	}
	if n.TryAgain {
		if w, ok := a.wakes.Load(n.Target.String()); ok {
			wake(w.(*worker).again)
		}
		return
	}
	if d := n.Drift; d != nil {
		a.tellDrift(n.Target, *d)
	}
	if n.Own != nil {
		a.tellOwn(n.Target, *n.Own)
	}
	a.board.notice(n)
}

// tellOwn logs what became of what the agent keeps about itself.
func (a *Agent) tellOwn(t environments.Target, o drift.Own) {
	log := a.log.With().Str("target", t.String()).Strs("objects", o.Written).Logger()
	for _, lost := range o.Lost {
		log.Error().Err(lost).Msg("somebody deleted or damaged a good release, and it cannot be had again: nothing returns to it")
	}
	switch {
	case o.Fight == drift.FightBegan:
		log.Warn().Int("corrections", o.Corrections).Msg("somebody deletes or edits each time what the agent keeps about itself; from now on it is written again ever more seldom, until they stop")
	case o.Fight == drift.FightEnded:
		log.Info().Int("corrections", o.Corrections).Msg("what the agent keeps about itself has held: the fight is over")
	case len(o.Written) > 0:
		log.Warn().Msg("somebody deleted or edited what the agent keeps about itself; it is written again")
	}
	if o.Err != nil {
		log.Warn().Err(o.Err).Msg("what the agent keeps about itself could not be looked after; it is tried again")
	}
}

func (a *Agent) tellDrift(t environments.Target, d drift.Drift) {
	log := a.log.With().Str("target", t.String()).Str("object", d.Object.String()).
		Str("manager", d.Manager).Bool("deleted", d.Deleted).Logger()
	var rewriting *drift.Rewriting
	switch {
	case errors.As(d.Err, &rewriting):
		a.metrics.drift.WithLabelValues(t.Environment, "rewritten").Inc()
		log.Warn().Err(d.Err).Strs("fields", paths(d.Changes)).Msg("what is declared is not what was applied; it is tried again with the next commit or start")
	case d.Err != nil:
		a.metrics.drift.WithLabelValues(t.Environment, "failed").Inc()
		log.Warn().Err(d.Err).Msg("drift could not be put back; the agent goes on trying")
	case d.Fight == drift.FightBegan:
		a.metrics.drift.WithLabelValues(t.Environment, "fight").Inc()
		log.Warn().Strs("fields", paths(d.Changes)).Int("corrections", d.Corrections).
			Msg("somebody undoes each time what is put back; from now on it is put back ever more seldom, until they stop")
	case d.Fight == drift.FightEnded:
		log.Info().Strs("fields", paths(d.Changes)).Int("corrections", d.Corrections).Dur("took_ms", d.CorrectedAt.Sub(d.SeenAt)).
			Msg("what was put back has held: the fight is over")
	case d.CorrectedAt.IsZero():
		a.metrics.drift.WithLabelValues(t.Environment, "reported").Inc()
		log.Warn().Msg("drift seen; this environment only reports it")
	default:
		took := d.CorrectedAt.Sub(d.SeenAt)
		a.metrics.drift.WithLabelValues(t.Environment, "corrected").Inc()
		a.metrics.driftSeconds.Observe(took.Seconds())
		log.Info().Dur("took_ms", took).Msg("drift put back")
	}
}

func paths(changes []drift.Change) []string {
	var found []string
	for _, c := range changes {
		found = append(found, c.Path)
	}
	return found
}

// judgedBy is by what the health of the job's release is judged.
func (j job) judgedBy() string {
	return fmt.Sprintf("%s %s", j.environment.HealthTimeout, j.repository.Health.Digest())
}
