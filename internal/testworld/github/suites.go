package github

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// checkSuite holds an App's runs on one commit.
type checkSuite struct {
	id               int64
	app              *app
	sha, branch      string
	before           string
	created, updated time.Time
	announced        string // the conclusion that was last sent
}

var suiteRoutes = []route{
	{"GET /repos/{owner}/{repo}/check-suites/{check_suite_id}", "checks:read", getSuite},
	{"POST /repos/{owner}/{repo}/check-suites", "checks:write", createSuite},
	{"GET /repos/{owner}/{repo}/check-suites/{check_suite_id}/check-runs", "checks:read", listSuiteRuns},
	{"POST /repos/{owner}/{repo}/check-suites/{check_suite_id}/rerequest", "checks:write", rerequestSuite},
}

// conclusion of a suite: the worst of its latest runs, once all are done.
func (r *repository) suiteState(suite *checkSuite) (status, conclusion string, runs int) {
	worst := []string{"neutral", "skipped", "success", "cancelled", "timed_out", "action_required", "failure"}
	status, rank := "completed", -1
	for _, run := range r.latestRuns(suite.sha) {
		if run.suite != suite {
			continue
		}
		runs++
		if run.status != "completed" {
			status = "in_progress"
		}
		rank = max(rank, slices.Index(worst, run.conclusion))
	}
	if runs == 0 {
		return "queued", "", 0
	}
	if status == "completed" {
		conclusion = worst[max(rank, 0)]
	}
	return status, conclusion, runs
}

func (s *Server) suiteJSON(ctx context.Context, r *repository, suite *checkSuite) (object, error) {
	head, err := r.commit(ctx, suite.sha)
	if err != nil {
		return nil, err
	}
	url := s.repoURL(r, "check-suites", strconv.FormatInt(suite.id, 10))
	status, conclusion, runs := r.suiteState(suite)
	return object{
		"id": suite.id, "node_id": nodeID("CS", suite.id), "head_branch": orNull(suite.branch), "head_sha": suite.sha, "status": status,
		"conclusion": orNull(conclusion), "url": url, "before": orNull(suite.before), "after": suite.sha, "pull_requests": s.pullsOf(r, suite.sha),
		"app": s.appJSON(suite.app), "repository": s.minimalJSON(r), "created_at": stamp(suite.created), "updated_at": stamp(suite.updated),
		"head_commit": simpleCommitJSON(head), "latest_check_runs_count": runs, "check_runs_url": url + "/check-runs",
	}, nil
}

func simpleCommitJSON(c *commit) object {
	return object{
		"id": c.sha, "tree_id": c.tree, "message": c.message, "timestamp": stamp(c.committer.when),
		"author":    object{"name": c.author.name, "email": c.author.email},
		"committer": object{"name": c.committer.name, "email": c.committer.email},
	}
}

// suiteFor finds the App's suite of a commit, or makes it.
func (s *Server) suiteFor(ctx context.Context, r *repository, a *app, sha string) (*checkSuite, error) {
	for _, suite := range r.suites {
		if suite.app == a && suite.sha == sha {
			return suite, nil
		}
	}
	branch, err := r.branchOf(ctx, sha)
	if err != nil {
		return nil, err
	}
	suite := &checkSuite{id: s.id(), app: a, sha: sha, branch: branch, created: s.now(), updated: s.now()}
	r.suites = append(r.suites, suite)
	return suite, nil
}

// branchOf names a branch whose tip a commit is.
func (r *repository) branchOf(ctx context.Context, sha string) (string, error) {
	out, err := r.git.Run(ctx, "for-each-ref", "--count=1", "--points-at="+sha, "--format=%(refname:lstrip=2)", "refs/heads")
	if len(out) > 0 && out[len(out)-1] == '\n' {
		out = out[:len(out)-1]
	}
	return out, err
}

// requestSuites: each App that writes checks gets a suite for each push.
func (s *Server) requestSuites(ctx context.Context, r *repository, who *account, branch string, change git.Change) error {
	s.mu.Lock()
	var apps []*app
	for _, a := range s.apps {
		if a.sees(r) && a.permissions["checks"] == "write" {
			apps = append(apps, a)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(apps, func(a, b *app) int { return int(a.id - b.id) })
	for _, a := range apps {
		known := slices.ContainsFunc(r.suites, func(suite *checkSuite) bool { return suite.app == a && suite.sha == change.After })
		if known {
			continue
		}
		suite := &checkSuite{id: s.id(), app: a, sha: change.After, branch: branch, before: change.Before, created: s.now(), updated: s.now()}
		r.suites = append(r.suites, suite)
		if err := s.emitSuite(ctx, r, suite, who, "requested"); err != nil {
			return err
		}
	}
	return nil
}

// suiteChanged sends completed when the last of a suite's runs is.
func (s *Server) suiteChanged(ctx context.Context, r *repository, suite *checkSuite, who *account) error {
	suite.updated = s.now()
	if _, conclusion, _ := r.suiteState(suite); conclusion != "" && conclusion != suite.announced {
		suite.announced = conclusion
		return s.emitSuite(ctx, r, suite, who, "completed")
	}
	return nil
}

func (c *call) suite() (*checkSuite, error) {
	id, err := c.number("check_suite_id")
	if err != nil {
		return nil, err
	}
	for _, suite := range c.repo.suites {
		if suite.id == id {
			return suite, nil
		}
	}
	return nil, notFound()
}

func getSuite(c *call) (int, any, error) {
	suite, err := c.suite()
	if err != nil {
		return 0, nil, err
	}
	o, err := c.suiteJSON(c.request.Context(), c.repo, suite)
	return http.StatusOK, o, err
}

func createSuite(c *call) (int, any, error) {
	var in struct {
		HeadSHA string `json:"head_sha"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if kind, err := c.objectType(in.HeadSHA); err != nil || kind != "commit" {
		return 0, nil, noCommit(in.HeadSHA)
	}
	n := len(c.repo.suites)
	suite, err := c.suiteFor(c.request.Context(), c.repo, c.who.app, in.HeadSHA)
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusOK
	if len(c.repo.suites) > n {
		status = http.StatusCreated
	}
	o, err := c.suiteJSON(c.request.Context(), c.repo, suite)
	return status, o, err
}

func listSuiteRuns(c *call) (int, any, error) {
	suite, err := c.suite()
	if err != nil {
		return 0, nil, err
	}
	var list []*checkRun
	for _, run := range c.repo.latestRuns(suite.sha) {
		if run.suite == suite {
			list = append(list, run)
		}
	}
	return http.StatusOK, c.runsJSON(list), nil
}

func listSuitesForRef(c *call, ref string) (int, any, error) {
	sha, err := c.repo.find(c.request.Context(), ref)
	if err != nil {
		return 0, nil, noCommit(ref)
	}
	out := []object{}
	for _, suite := range c.repo.suites {
		if suite.sha == sha && (c.query("app_id") == "" || strconv.FormatInt(suite.app.id, 10) == c.query("app_id")) {
			o, err := c.suiteJSON(c.request.Context(), c.repo, suite)
			if err != nil {
				return 0, nil, err
			}
			out = append(out, o)
		}
	}
	return http.StatusOK, object{"total_count": len(out), "check_suites": page(c, out)}, nil
}

func rerequestSuite(c *call) (int, any, error) {
	suite, err := c.suite()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, object{}, c.emitSuite(c.request.Context(), c.repo, suite, c.who.account, "rerequested")
}
