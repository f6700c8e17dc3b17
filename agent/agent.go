package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// Edges are the agent's ways to the world.
type Edges struct {
	Source   Source
	Evidence demands.Evidence
	Tags     Tags
	Policies demands.Policies
	// Clusters by the name of the environment; these are the environments that
	// the agent owns. One cluster may serve several.
	Clusters map[string]Cluster
	Forge    Forge
	// Gates look at what runs after a rollout; nil where there are none.
	Gates Gates
}

// Options are the agent's own settings, none of which a commit can change.
type Options struct {
	Branch string
	// Poll is how often the branch is looked at without a webhook; TagPoll how
	// often the tracked tags are.
	Poll, TagPoll time.Duration
	// Baseline returns what the agent's own configuration demands. It returns the
	// same one as long as nothing about it has changed.
	Baseline func() (*demands.Baseline, error)
	// Render is how overlays are rendered. Warm, if set, makes ready for it while
	// the branch is still read.
	Render render.Options
	Warm   func(context.Context)
	// Retries are how soon a target that failed is tried again.
	Retries RetriesConfig
	Log     zerolog.Logger
	// Leadership tells which of several replicas works; nil where there is one.
	// Run is for that one alone: the others answer HTTP.
	Leadership func() Leadership
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Agent takes what the config repo says to the clusters, and digests from one
// environment to the next.
type Agent struct {
	options  Options
	edges    Edges
	renderer *render.Renderer
	// previews renders what promotions would make of overlays.
	previews *render.Renderer
	log      zerolog.Logger
	now      func() time.Time
	metrics  *metrics

	board    *board
	reporter *reporter
	journal  *journal

	gatherer *demands.Gatherer
	// rollbacks are what people asked for, by target (drift.RollbackRequest).
	rollbacks sync.Map
	// wakes are the workers (*worker) to be woken from elsewhere, by target.
	wakes sync.Map

	// workers, by the name of their target, are the loop's own; running holds
	// their goroutines.
	workers map[string]*worker
	running errgroup.Group

	// inherited are the targets that an earlier run left, once they are looked
	// up. They are the loop's own.
	inherited    []environments.Target
	hasInherited bool
	// keepAgain says that keepAccepted did not come to its end.
	keepAgain bool
	// keeping has one element for each target that is being put back, see keptAtOnce.
	keeping chan struct{}
	// left are the names of targets whose overlay is gone and that others have
	// all objects of.
	left     sync.Map
	tooLarge gitsync.Commit // the last commit that was reported as such

	// proposed are the pull requests as they were last brought up to date, by
	// environment and application; silence is what GitHub asked for. Both are
	// the promoter's own.
	proposed map[entering]*proposed
	silence  again

	// declared are what the targets of clusters declare (*declared), by Cluster.
	declared sync.Map

	// heads are the commits of open promotion pull requests.
	heads sync.Map

	// current is what the newest usable revision asks for.
	current atomic.Pointer[demands.Demanded]
	// synced is set once the branch has been read for the first time.
	synced atomic.Bool

	// Wake-ups, of which one is pending at most: the branch may have moved; what
	// promotions are decided on changed; a pull request did; a tag did.
	fetch, promotions, pullRequests, tags chan struct{}
}

// New returns an agent that does nothing until Run.
func New(edges Edges, options Options) *Agent {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Leadership == nil {
		options.Leadership = func() Leadership { return Leadership{} }
	}
	options.Retries = options.Retries.withDefaults()
	a := &Agent{
		options: options, edges: edges, log: options.Log, now: options.Now,
		renderer: render.New(options.Render),
		previews: render.New(options.Render),
		gatherer: demands.NewGatherer(demands.Edges{
			Past: edges.Source, Evidence: edges.Evidence, Policies: edges.Policies, Commits: edges.Forge,
		}, options.Branch, options.Now),
		metrics:      newMetrics(options.Leadership),
		board:        newBoard(options.Now),
		workers:      map[string]*worker{},
		keeping:      make(chan struct{}, keptAtOnce),
		fetch:        make(chan struct{}, 1),
		promotions:   make(chan struct{}, 1),
		pullRequests: make(chan struct{}, 1),
		journal:      newJournal(options.Log),
		proposed:     map[entering]*proposed{},
		tags:         make(chan struct{}, 1),
	}
	a.metrics.registry.MustRegister(conditions{a.board})
	a.silence = again{pace: lookAgain}
	a.reporter = newReporter(a.report, options.Now, options.Log)
	offer := func(s promote.EnvironmentState, state promote.ReportState, write func() promote.Report) {
		a.reporter.offer(reportKey{s.Environment, s.Commit}, word{state, write})
	}
	a.board.changed = func(s promote.EnvironmentState, copied func() promote.EnvironmentState) {
		at := a.now() // completed is when the state was reached, not when it is told
		offer(s, s.ReportState(), func() promote.Report { return promote.Check(copied(), at) })
		wake(a.promotions)
	}
	a.board.ended = func(s promote.EnvironmentState) {
		if at := a.now(); !s.ReportState().Final() {
			offer(s, promote.Superseded, func() promote.Report { return promote.Supersede(s, at) })
		}
	}
	return a
}

// Run works until ctx ends, and returns when everything that it started has.
func (a *Agent) Run(ctx context.Context) error {
	loops := []func(context.Context){a.watchBranch, a.reporter.run, a.promoter, a.tracker}
	for _, loop := range loops {
		a.running.Go(func() error {
			loop(ctx)
			return nil
		})
	}
	return a.running.Wait()
}

// Ready reports whether the branch has been read since the start. A replica that
// stands by is ready to do that.
func (a *Agent) Ready() bool { return a.synced.Load() || a.options.Leadership().Standby }

// Event takes a hint that something moved; it never blocks.
func (a *Agent) Event(e gitsync.Event) {
	a.metrics.events.WithLabelValues(string(e.Origin)).Inc()
	switch e.Subject {
	case gitsync.AboutPullRequest:
		wake(a.pullRequests)
	case gitsync.AboutChecks:
		// The agent's own checks come back as events: only those on the head of
		// an open promotion are of interest.
		if _, ours := a.heads.Load(e.Commit); ours {
			wake(a.pullRequests)
		}
	case gitsync.AboutPackage:
		wake(a.tags)
	default:
		wake(a.fetch)
	}
}

// Notice takes what watching a cluster found; the clusters are made with it.
func (a *Agent) Notice(n drift.Notice) { a.notice(n) }

// watchBranch follows the branch, by webhooks and by polling.
func (a *Agent) watchBranch(ctx context.Context) {
	var head gitsync.Commit
	tick := time.NewTicker(a.options.Poll)
	defer tick.Stop()
	failing := false
	for {
		again := a.keepAgain
		rev, err := a.edges.Source.Fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.metrics.fetches.WithLabelValues("failed").Inc()
			a.metrics.stale.Set(1)
			// Once is enough: the same failure returns with every poll.
			if !failing {
				a.log.Error().Err(err).Str("reason", classify(err).name).Msg("the branch cannot be read; what runs is kept")
			}
			if !failing && head == "" {
				a.keepAccepted(ctx)
			}
			failing = true
			if a.cannotBeRead(err) {
				head = "" // if the branch goes back to it, its checks are to say so
			}
		default:
			a.metrics.fetches.WithLabelValues("ok").Inc()
			a.metrics.stale.Set(0)
			failing = false
			if rev.Commit != head && a.advance(ctx, rev) {
				head = rev.Commit
			}
			a.synced.Store(true)
			a.handRollbacks()
		}
		if again && a.keepAgain {
			a.keepAccepted(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.fetch:
			if a.options.Warm != nil {
				a.running.Go(func() error {
					a.options.Warm(ctx)
					return nil
				})
			}
		case <-tick.C:
		}
	}
}

// report sends one report and counts it.
func (a *Agent) report(ctx context.Context, r promote.Report) error {
	err := a.edges.Forge.Report(ctx, r)
	switch {
	case err == nil:
		a.metrics.reports.WithLabelValues(string(r.State)).Inc()
	case ctx.Err() == nil:
		a.metrics.reports.WithLabelValues("failed").Inc()
	}
	return err
}

// wake makes sure that the receiver looks again after this moment.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
