package github

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

type checkRun struct {
	id                       int64
	suite                    *checkSuite
	name, status, conclusion string
	detailsURL, externalID   string
	started, completed       time.Time
	title, summary, text     *string
	annotations              []annotation
	actions                  []action
}

type annotation struct {
	Path            string
	StartLine       int    `json:"start_line"`
	EndLine         int    `json:"end_line"`
	StartColumn     *int   `json:"start_column"`
	EndColumn       *int   `json:"end_column"`
	AnnotationLevel string `json:"annotation_level"`
	Message         string
	Title           *string
	RawDetails      *string `json:"raw_details"`
}

type action struct{ Label, Description, Identifier string }

// passes: these three satisfy a required check.
func (r *checkRun) passes() bool {
	return r.conclusion == "success" || r.conclusion == "neutral" || r.conclusion == "skipped"
}

var checkRoutes = []route{
	{"POST /repos/{owner}/{repo}/check-runs", "checks:write", createRun},
	{"GET /repos/{owner}/{repo}/check-runs/{check_run_id}", "checks:read", getRun},
	{"PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}", "checks:write", updateRun},
	{"GET /repos/{owner}/{repo}/check-runs/{check_run_id}/annotations", "checks:read", listAnnotations},
	{"POST /repos/{owner}/{repo}/check-runs/{check_run_id}/rerequest", "checks:write", rerequestRun},
}

func (s *Server) runJSON(r *repository, run *checkRun) object {
	id := strconv.FormatInt(run.id, 10)
	url := s.repoURL(r, "check-runs", id)
	html := s.htmlURL(r, "commit", run.suite.sha) + "#check-" + id
	details := run.detailsURL
	if details == "" {
		details = s.url + "/apps/" + run.suite.app.slug
	}
	return object{
		"id": run.id, "node_id": nodeID("CR", run.id), "head_sha": run.suite.sha, "external_id": run.externalID, "url": url,
		"html_url": html, "details_url": details, "status": run.status, "conclusion": orNull(run.conclusion),
		"started_at": stampOrNull(run.started), "completed_at": stampOrNull(run.completed), "name": run.name,
		"check_suite": object{"id": run.suite.id}, "app": s.appJSON(run.suite.app), "pull_requests": s.pullsOf(r, run.suite.sha),
		"output": object{
			"title": run.title, "summary": run.summary, "text": run.text, "annotations_count": len(run.annotations), "annotations_url": url + "/annotations",
		},
	}
}

// pullsOf are the open pull requests whose head is the commit.
func (s *Server) pullsOf(r *repository, sha string) []object {
	out := []object{}
	repo := object{"id": r.id, "url": s.repoURL(r), "name": r.name}
	for _, p := range r.sortedPulls() {
		if p.state == "open" && p.headSHA == sha {
			out = append(out, object{
				"id": p.id, "number": p.number, "url": s.repoURL(r, "pulls", strconv.Itoa(p.number)),
				"head": object{"ref": p.headRef, "sha": p.headSHA, "repo": repo}, "base": object{"ref": p.baseRef, "sha": p.baseSHA, "repo": repo},
			})
		}
	}
	return out
}

type runChange struct {
	Name        *string
	HeadSHA     string  `json:"head_sha"`
	DetailsURL  *string `json:"details_url"`
	ExternalID  *string `json:"external_id"`
	Status      *string
	Conclusion  *string
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Output      *struct {
		Title, Summary, Text *string
		Annotations          []annotation
	}
	Actions []action
}

// check refuses what the description only says in words, or says nowhere.
func (in runChange) check() error {
	if in.Conclusion == nil && (in.Status != nil && *in.Status == "completed" || in.CompletedAt != nil) {
		return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\n\"conclusion\" wasn't supplied.")
	}
	if in.Status != nil && !slices.Contains([]string{"queued", "in_progress", "completed"}, *in.Status) {
		return invalid("CheckRun", "status", "invalid", "")
	}
	if in.Conclusion != nil && !slices.Contains([]string{"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"}, *in.Conclusion) {
		return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\n%s is not a member of the conclusions.", *in.Conclusion)
	}
	if in.Output == nil {
		return nil
	}
	for field, value := range map[string]*string{"summary": in.Output.Summary, "text": in.Output.Text} {
		if value != nil && len(*value) > 65535 {
			return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\nOnly 65535 characters are allowed; %d were supplied in %s.", len(*value), field)
		}
	}
	if len(in.Output.Annotations) > 50 {
		return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\nNo more than 50 items are allowed; %d were supplied.", len(in.Output.Annotations))
	}
	for _, a := range in.Output.Annotations {
		if err := a.check(); err != nil {
			return err
		}
	}
	return nil
}

// check keeps to what the parameters' prose says of an annotation.
// docs.github.com/rest/checks/runs#create-a-check-run
func (a annotation) check() error {
	for _, one := range []struct {
		field string
		value *string
		most  int
	}{{"message", &a.Message, 64 << 10}, {"raw_details", a.RawDetails, 64 << 10}, {"title", a.Title, 255}} {
		if one.value != nil && len(*one.value) > one.most {
			return refuse(http.StatusUnprocessableEntity, "Invalid request.\n\nOnly %d characters are allowed; %d were supplied in %s.", one.most, len(*one.value), one.field)
		}
	}
	switch {
	case a.Path == "" || strings.HasPrefix(a.Path, "/"):
		return invalid("CheckAnnotation", "path", "invalid", "")
	case a.StartLine < 1 || a.EndLine < a.StartLine:
		return invalid("CheckAnnotation", "start_line", "invalid", "")
	case a.StartLine != a.EndLine && (a.StartColumn != nil || a.EndColumn != nil):
		return invalid("CheckAnnotation", "start_column", "invalid", "")
	}
	return nil
}

func (in runChange) apply(run *checkRun, now time.Time) {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&run.name, in.Name)
	set(&run.detailsURL, in.DetailsURL)
	set(&run.externalID, in.ExternalID)
	set(&run.status, in.Status)
	if in.Conclusion != nil {
		run.status, run.conclusion = "completed", *in.Conclusion
	} else if in.Status != nil {
		run.conclusion, run.completed = "", time.Time{}
	}
	if in.StartedAt != nil {
		run.started = *in.StartedAt
	} else if run.started.IsZero() {
		run.started = now
	}
	if in.CompletedAt != nil {
		run.completed = *in.CompletedAt
	} else if run.status == "completed" && run.completed.IsZero() {
		run.completed = now
	}
	if o := in.Output; o != nil {
		if o.Title != nil {
			run.title = o.Title
		}
		run.summary, run.text = orKeep(o.Summary, run.summary), orKeep(o.Text, run.text)
		run.annotations = append(run.annotations, o.Annotations...) // updates append
	}
	if in.Actions != nil {
		run.actions = in.Actions
	}
}

func orKeep(new, old *string) *string {
	if new != nil {
		return new
	}
	return old
}

func createRun(c *call) (int, any, error) {
	var in runChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if in.Name == nil || in.HeadSHA == "" {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Invalid request.\n\n\"name\", \"head_sha\" weren't supplied.")
	}
	if err := in.check(); err != nil {
		return 0, nil, err
	}
	if kind, err := c.objectType(in.HeadSHA); len(in.HeadSHA) != 40 || err != nil || kind != "commit" {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "No commit found for SHA: %s", in.HeadSHA)
	}
	suite, err := c.suiteFor(c.request.Context(), c.repo, c.who.app, in.HeadSHA)
	if err != nil {
		return 0, nil, err
	}
	run := &checkRun{id: c.id(), suite: suite, status: "queued"}
	in.apply(run, c.now())
	c.repo.runs = append(c.repo.runs, run)
	if err := c.runChanged(run, "created", ""); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, c.runJSON(c.repo, run), nil
}

func (c *call) findRun() (*checkRun, error) {
	id, err := c.number("check_run_id")
	if err != nil {
		return nil, err
	}
	for _, run := range c.repo.runs {
		if run.id == id {
			return run, nil
		}
	}
	return nil, notFound()
}

func getRun(c *call) (int, any, error) {
	run, err := c.findRun()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.runJSON(c.repo, run), nil
}

func updateRun(c *call) (int, any, error) {
	run, err := c.findRun()
	if err != nil {
		return 0, nil, err
	}
	if run.suite.app != c.who.app {
		return 0, nil, refuse(http.StatusForbidden, "Invalid app_id `%d` - check run can only be modified by the GitHub App that created it.", c.who.app.id)
	}
	var in runChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if err := in.check(); err != nil {
		return 0, nil, err
	}
	was := run.status
	in.apply(run, c.now())
	if err := c.runChanged(run, "", was); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.runJSON(c.repo, run), nil
}

// runChanged sends created, and completed when the run has become so.
func (c *call) runChanged(run *checkRun, event, was string) error {
	ctx := c.request.Context()
	if event != "" {
		if err := c.emitRun(ctx, c.repo, run, c.who.account, event, nil); err != nil {
			return err
		}
	}
	if run.status == "completed" && was != "completed" {
		if err := c.emitRun(ctx, c.repo, run, c.who.account, "completed", nil); err != nil {
			return err
		}
		return c.suiteChanged(ctx, c.repo, run.suite, c.who.account)
	}
	return nil
}

// latestRuns are the newest run of each name and App on a commit.
func (r *repository) latestRuns(sha string) []*checkRun {
	type key struct {
		name string
		app  *app
	}
	var latest []*checkRun
	seen := map[key]bool{}
	for _, run := range slices.Backward(r.runs) {
		if k := (key{run.name, run.suite.app}); run.suite.sha == sha && !seen[k] {
			seen[k] = true
			latest = append(latest, run)
		}
	}
	return latest
}

func (c *call) runsJSON(all []*checkRun) object {
	out := []object{}
	for _, run := range all {
		if (c.query("check_name") == "" || run.name == c.query("check_name")) && (c.query("status") == "" || run.status == c.query("status")) &&
			(c.query("app_id") == "" || fmt.Sprint(run.suite.app.id) == c.query("app_id")) {
			out = append(out, c.runJSON(c.repo, run))
		}
	}
	return object{"total_count": len(out), "check_runs": page(c, out)}
}

func listRunsForRef(c *call, ref string) (int, any, error) {
	sha, err := c.repo.find(c.request.Context(), ref)
	if err != nil {
		if errors.Is(err, git.ErrUnknown) {
			err = noCommit(ref)
		}
		return 0, nil, err
	}
	list := c.repo.latestRuns(sha)
	if c.query("filter") == "all" {
		list = nil
		for _, run := range slices.Backward(c.repo.runs) {
			if run.suite.sha == sha {
				list = append(list, run)
			}
		}
	}
	return http.StatusOK, c.runsJSON(list), nil
}

func listAnnotations(c *call) (int, any, error) {
	run, err := c.findRun()
	if err != nil {
		return 0, nil, err
	}
	out := []object{}
	for _, a := range run.annotations {
		out = append(out, object{
			"path": a.Path, "blob_href": c.htmlURL(c.repo, "blob", run.suite.sha, escapeSegments(a.Path)), "start_line": a.StartLine,
			"end_line": a.EndLine, "start_column": a.StartColumn, "end_column": a.EndColumn, "annotation_level": a.AnnotationLevel,
			"title": a.Title, "message": a.Message, "raw_details": a.RawDetails,
		})
	}
	return http.StatusOK, page(c, out), nil
}

func rerequestRun(c *call) (int, any, error) {
	run, err := c.findRun()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, object{}, c.emitRun(c.request.Context(), c.repo, run, c.who.account, "rerequested", nil)
}
