package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

// world is an agent between edges that do as they are told, on a clock that
// moves only when all wait. How real edges behave is tested with real servers,
// in cmd/pawl.
type world struct {
	t     *testing.T
	agent *Agent
	trust policies.Trust
	log   bytes.Buffer
	stop  context.CancelFunc

	mu      sync.Mutex
	files   map[string]string
	commits int
	history []gitsync.Revision // all that were read, the newest last
	root    gitsync.Commit     // what the next commit is made on: the one before
	unread  error              // Fetch fails with it
	broken  bool               // no file can be read

	worldDemands

	tag      string // the digest that every tag points to
	unsigned map[string]bool
	outage   bool // no registry answers

	applied []string    // "dev/web 2": a target and the commit
	terms   drift.Terms // of the last of them
	applies func(context.Context, render.Release) error
	leaves  func(environments.Target, drift.Terms) (drift.Left, error) // nil: nobody takes anything
	prunes  func(drift.Terms) *drift.PruneHeld                         // what an apply holds; nil: nothing
	does    func(drift.Terms, *drift.Applied)                          // more that an apply of dev/web tells
	words   []gitsync.Word                                             // of the next commit
	silent  bool                                                       // clusters do not tell health by themselves
	// accepted is what was applied last, by an earlier run or by this one.
	accepted []drift.Accepted
	goods    map[string][]drift.Good     // by target, the newest first
	keeping  func(context.Context) error // before a good release is stored; nil: at once
	held     map[string]*drift.Hold
	answers  []string // to rollbacks by hand
	gates    Gates
	retries  RetriesConfig

	reported []string // "dev 2 success"
	forge    forge
}

// forge is what became of promotions.
type forge struct {
	proposed, merged, committed int
	lookedFor                   []string // branches, to be withdrawn from
	blocked                     string   // why pull requests cannot be merged
	refuses                     func() error
	slow                        time.Duration                   // before Propose answers
	pulls                       map[string]*promote.PullRequest // by branch
	files                       map[int]map[string][]byte
}

func hexOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// inWorld runs a story on the files, "dev" and "staging" being owned.
func inWorld(t *testing.T, files map[string]string, story func(w *world)) {
	inWorldWith(t, files, func(*world) {}, story)
}

func inWorldWith(t *testing.T, files map[string]string, prepare, story func(w *world)) {
	t.Parallel()
	trust := newTrust(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, trust: trust, files: maps.Clone(files), commits: 1, tag: hexOf("a"), unsigned: map[string]bool{}, goods: map[string][]drift.Good{}, held: map[string]*drift.Hold{}}
		w.applies = func(context.Context, render.Release) error { return nil }
		w.baseline = &demands.Baseline{Trust: trust}
		w.forge.pulls, w.forge.files = map[string]*promote.PullRequest{}, map[int]map[string][]byte{}
		prepare(w)
		w.agent = New(Edges{
			Source: w, Evidence: w, Tags: w, Forge: w, Policies: w, Gates: w.gates,
			Clusters: map[string]Cluster{"dev": w, "staging": w},
		}, Options{Branch: "main", Poll: time.Minute, TagPoll: time.Minute, Baseline: w.demanded, Retries: w.retries, Log: zerolog.New(&w.log)})
		ctx, stop := context.WithCancel(t.Context())
		w.stop = stop
		ended := make(chan error)
		go func() { ended <- w.agent.Run(ctx) }()
		synctest.Wait()
		story(w)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	})
}

// newTrust trusts a key that nobody else knows.
func newTrust(t *testing.T) policies.Trust {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	trust, err := policies.NewTrust([]policies.Rule{{Images: "**", Keys: []policies.Key{{
		Name: "release", PEM: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// push makes a commit and lets a webhook tell; "" removes a file.
func (w *world) push(files map[string]string) {
	w.t.Helper()
	w.mu.Lock()
	for p, text := range files {
		if w.files[p] = text; text == "" {
			delete(w.files, p)
		}
	}
	w.commits++
	w.mu.Unlock()
	w.agent.Event(gitsync.Event{Subject: gitsync.AboutBranch})
	synctest.Wait()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func (w *world) Fetch(context.Context) (gitsync.Revision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tree := trees.FromMap(w.files)
	if w.broken {
		tree = gitsync.NewTree(map[string]gitsync.Entry{".": {Kind: gitsync.Folder}, demands.PipelineFile: {Kind: gitsync.File}},
			func(gitsync.Entry) ([]byte, error) { return nil, errors.New("input/output error") })
	}
	return w.revision(tree), w.unread
}

func (w *world) Collect(_ context.Context, images []render.Image, trust policies.Trust) (map[string]policies.Evidence, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.outage {
		return nil, &policies.Unavailable{Err: errors.New("no answer")}
	}
	found := map[string]policies.Evidence{}
	for _, i := range images {
		e := policies.Evidence{Image: i.Pinned(), Exists: true}
		if !w.unsigned[i.Digest] {
			e.Signatures = []policies.Signature{{By: policies.SignedBy{Signer: "release", ID: trust.Signers(i.Repository)[0].ID()}}}
		}
		found[i.Pinned()] = e
	}
	return found, nil
}

func (w *world) Resolve(context.Context, string, environments.Track) (promote.Found, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return promote.Found{Digest: w.tag, Tag: "main"}, nil
}

func (w *world) Plan(context.Context, policies.Verified, drift.Terms) (drift.Plan, error) {
	return drift.Plan{}, nil
}

func (w *world) Apply(ctx context.Context, v policies.Verified, terms drift.Terms) (drift.Applied, error) {
	r := v.Release()
	w.mu.Lock()
	applies, silent := w.applies, w.silent
	prunes := w.prunes
	w.mu.Unlock()
	var held *drift.PruneHeld
	if prunes != nil && r.Target == web {
		held = prunes(terms)
	}
	if err := applies(ctx, r); err != nil {
		return drift.Applied{}, err
	}
	w.mu.Lock()
	w.applied = append(w.applied, fmt.Sprintf("%s %s", r.Target, r.Commit))
	w.terms = terms
	next := drift.Accepted{
		Target: environments.Target{Environment: r.Target.Environment, Application: r.Target.Application},
		Commit: r.Commit, Release: r.Digest, Demands: terms.Demands, At: time.Now(), Held: held != nil,
	}
	if before, ok := demands.AcceptedFor(w.accepted, r.Target); ok && terms.Returning {
		next.Commit, next.Demands = before.Commit, before.Demands
	}
	w.accepted = slices.DeleteFunc(w.accepted, func(a drift.Accepted) bool { return a.Target.String() == r.Target.String() })
	w.accepted = append(w.accepted, next)
	w.mu.Unlock()
	if !silent {
		w.health(r.Target, r.Digest, drift.Current)
	}
	applied := drift.Applied{Held: held}
	if w.does != nil && r.Target == web {
		w.does(terms, &applied)
	}
	return applied, nil
}

func (w *world) Accepted(context.Context, ...environments.Target) ([]drift.Accepted, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.accepted), nil
}

func (w *world) Note(_ context.Context, a drift.Accepted) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.Target, a.Release = environmentsTarget(a.Target.Environment, a.Target.Application), ""
	w.accepted = append(w.accepted, a)
	return nil
}

func (w *world) Remember(ctx context.Context, g drift.Good) error {
	w.mu.Lock()
	keeping := w.keeping
	w.mu.Unlock()
	if keeping != nil {
		if err := keeping(ctx); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := g.Release.Target.String()
	w.goods[key] = slices.DeleteFunc(w.goods[key], func(o drift.Good) bool { return o.Release.Digest == g.Release.Digest })
	w.goods[key] = slices.Insert(w.goods[key], 0, g)
	return nil
}

func (w *world) Good(_ context.Context, t environments.Target) ([]drift.Good, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.goods[t.String()]), nil
}

func (w *world) Discard(_ context.Context, t environments.Target, release string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goods[t.String()] = slices.DeleteFunc(w.goods[t.String()], func(g drift.Good) bool { return g.Release.Digest == release })
	return nil
}

func (w *world) Leave(_ context.Context, t environments.Target, terms drift.Terms) (drift.Left, error) {
	if w.leaves == nil {
		return drift.Left{Objects: 1}, nil
	}
	return w.leaves(t, terms)
}

func (w *world) Hold(_ context.Context, t environments.Target, h *drift.Hold) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[t.String()] = h
	return nil
}

func (w *world) Held(_ context.Context, t environments.Target) (*drift.Hold, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[t.String()], nil
}

func (w *world) Answer(_ context.Context, _ environments.Target, answer string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, answer)
	return nil
}

// health tells what watching found, as a cluster would.
func (w *world) health(t environments.Target, release string, status drift.HealthStatus) {
	object := drift.ObjectHealth{Object: drift.ObjectID{Kind: "Deployment", Name: "web"}, Status: status, Message: string(status)}
	w.agent.Notice(drift.Notice{Target: t, Release: release, Health: &drift.Health{Status: status, Objects: []drift.ObjectHealth{object}}})
}

// turns tells the health of a target's kept release, and lets all see it.
func (w *world) turns(t environments.Target, status drift.HealthStatus) {
	w.tell(t, status)
	synctest.Wait()
}

func (w *world) tell(t environments.Target, status drift.HealthStatus) {
	w.agent.board.mu.Lock()
	release := w.agent.board.kept[t].release
	w.agent.board.mu.Unlock()
	w.health(t, release, status)
}

func (w *world) Report(_ context.Context, r promote.Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reported = append(w.reported, fmt.Sprintf("%s %s %s", r.Environment, r.Commit, r.State))
	return nil
}

func (w *world) Propose(_ context.Context, p promote.Proposal) (promote.PullRequest, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge.proposed++
	if w.forge.refuses != nil {
		if err := w.forge.refuses(); err != nil {
			return promote.PullRequest{}, err
		}
	}
	pull := w.forge.pulls[p.Branch]
	if pull == nil || pull.State == promote.Merged {
		pull = &promote.PullRequest{Number: len(w.forge.files) + 1, State: promote.Open}
		w.forge.pulls[p.Branch] = pull
	}
	w.forge.files[pull.Number] = p.Files
	pull.Head, pull.Blocked = gitsync.Commit("head of "+contentOf(p.Files)), w.forge.blocked
	now, slow := *pull, w.forge.slow
	w.mu.Unlock()
	time.Sleep(slow) // of the bubble's clock
	w.mu.Lock()
	return now, nil
}

func (w *world) Withdraw(_ context.Context, branch, _, _ string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge.lookedFor = append(w.forge.lookedFor, branch)
	if w.forge.refuses != nil {
		if err := w.forge.refuses(); err != nil {
			return err
		}
	}
	if pull := w.forge.pulls[branch]; pull != nil && pull.State == promote.Open {
		delete(w.forge.pulls, branch)
	}
	return nil
}

func (w *world) Merge(_ context.Context, pr promote.PullRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge.merged++
	for _, pull := range w.forge.pulls {
		if pull.Number == pr.Number {
			pull.State = promote.Merged
		}
	}
	w.write(w.forge.files[pr.Number])
	return nil
}

func (w *world) Commit(_ context.Context, branch string, parent gitsync.Commit, _ string, files map[string][]byte) (gitsync.Commit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forge.committed++
	if w.forge.refuses != nil {
		if err := w.forge.refuses(); err != nil {
			return "", err
		}
	}
	if parent != gitsync.Commit(fmt.Sprint(w.commits)) {
		return "", &promote.Conflict{Branch: branch, Parent: parent}
	}
	w.write(files)
	return gitsync.Commit(fmt.Sprint(w.commits)), nil
}

func (w *world) write(files map[string][]byte) {
	for p, text := range files {
		w.files[p] = string(text)
	}
	w.commits++
}

// state is how far a target is.
func (w *world) state(t environments.Target) promote.TargetState {
	w.t.Helper()
	e, _ := w.agent.board.environment(t.Environment)
	for _, s := range e.Targets {
		if s.Target == t {
			return s
		}
	}
	w.t.Errorf("%s is not on the board: %+v", t, e)
	return promote.TargetState{}
}

// checks are the reports of an environment since the last call.
func (w *world) checks(environment string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.reported {
		if strings.HasPrefix(r, environment+" ") {
			all = append(all, strings.TrimPrefix(r, environment+" "))
		}
	}
	w.reported = nil
	return all
}

func (w *world) count(line string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(w.applied), func(a string) bool { return a != line }))
}

func (w *world) expect(what string, got, want any) {
	w.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s: %v; want %v", what, got, want)
	}
}

// pipeline is a pawl.yaml with dev and staging.
func pipeline(dev, staging string) string {
	return `apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  overlays: apps/{app}/{env}
  environments:
    - {name: dev` + dev + `}
    - {name: staging, after: [dev]` + staging + "}\n"
}

func file(application, environment string) string {
	return "apps/" + application + "/" + environment + "/kustomization.yaml"
}

func targetOf(environment, application string) environments.Target {
	return environments.Target{Environment: environment, Application: application, Overlay: "apps/" + application + "/" + environment}
}

// overlay is a kustomization whose image has a digest.
func overlay(digest string) string {
	return "resources: [../../../base]\nimages:\n  - name: ghcr.io/acme/web\n    digest: " + digest + "\n"
}

const webDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: ghcr.io/acme/web}]}
`

// shop has one application in two environments, with the same digest.
func shop() map[string]string {
	return map[string]string{
		"pawl.yaml":               pipeline("", ""),
		"base/kustomization.yaml": "resources: [web.yaml]\n",
		"base/web.yaml":           webDeployment,
		file("web", "dev"):        overlay(hexOf("a")),
		file("web", "staging"):    overlay(hexOf("a")),
	}
}
