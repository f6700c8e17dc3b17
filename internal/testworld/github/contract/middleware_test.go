package contract

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-github/v60/github"
)

// reports collects violations; the middleware reports from many goroutines.
type reports struct {
	mu  sync.Mutex
	all []Violation
}

func (r *reports) add(v Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, v)
}

func (r *reports) take() []Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func TestMiddlewareReportsBothDirectionsAndChangesNothing(t *testing.T) {
	t.Parallel()
	var seen reports
	const answer = `{"id":1}`
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Sent", string(sent))
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, answer)
	})
	server := httptest.NewServer(load4test(t).Middleware(http.StripPrefix("/api/v3", handler), seen.add))
	defer server.Close()

	const body = `{"state":"great"}`
	response, err := http.Post(server.URL+"/api/v3/repos/o/r/statuses/abc", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusCreated || string(got) != answer || response.Header.Get("X-Sent") != body {
		t.Errorf("the exchange was changed: %d %s %v", response.StatusCode, got, response.Header)
	}

	violations := seen.take()
	if len(violations) != 2 || violations[0].Direction != Request || violations[1].Direction != Response {
		t.Fatalf("got %v, want one for the request and one for the answer", violations)
	}
	for _, v := range violations {
		if v.Method != "POST" || v.Path != "/api/v3/repos/o/r/statuses/abc" || v.Status != 201 {
			t.Errorf("got %v", v)
		}
	}
}

// The client library that Pawl uses keeps to the description in every call
// that Pawl or the stand-in's tests make.
func TestRequestsOfGoGitHub(t *testing.T) {
	t.Parallel()
	var seen reports
	c := load4test(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := c.CheckRequest(r, body); err != nil {
			seen.add(Violation{Direction: Request, Method: r.Method, Path: r.URL.String(), What: err.Error()})
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"message":"Not Found"}`)
	}))
	defer server.Close()
	base, err := url.Parse(server.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	gh := github.NewClient(nil)
	gh.BaseURL = base
	ctx := t.Context()
	page := github.ListOptions{Page: 2, PerPage: 100}
	content := &github.RepositoryContentFileOptions{Message: github.String("m"), Content: []byte("x"), Branch: github.String("b")}

	for name, call := range map[string]func(){
		"get a repository": func() { gh.Repositories.Get(ctx, "o", "r") },
		"get a ref":        func() { gh.Git.GetRef(ctx, "o", "r", "heads/a/b") },
		"list refs":        func() { gh.Git.ListMatchingRefs(ctx, "o", "r", &github.ReferenceListOptions{Ref: "heads/a"}) },
		"create a ref":     func() { gh.Git.CreateRef(ctx, "o", "r", reference()) },
		"update a ref":     func() { gh.Git.UpdateRef(ctx, "o", "r", reference(), false) },
		"delete a ref":     func() { gh.Git.DeleteRef(ctx, "o", "r", "heads/a/b") },
		"create a blob": func() {
			gh.Git.CreateBlob(ctx, "o", "r", &github.Blob{Content: github.String("x"), Encoding: github.String("utf-8")})
		},
		"create a tree": func() {
			gh.Git.CreateTree(ctx, "o", "r", "base", []*github.TreeEntry{{Path: github.String("a"), Mode: github.String("100644"), Type: github.String("blob"), Content: github.String("x")}})
		},
		"get a tree": func() { gh.Git.GetTree(ctx, "o", "r", "abc", true) },
		"create a commit": func() {
			gh.Git.CreateCommit(ctx, "o", "r", &github.Commit{Message: github.String("m"), Tree: &github.Tree{SHA: github.String("t")}, Parents: []*github.Commit{{SHA: github.String("p")}}}, nil)
		},
		"get contents": func() {
			gh.Repositories.GetContents(ctx, "o", "r", "a/b.yaml", &github.RepositoryContentGetOptions{Ref: "main"})
		},
		"get the root":  func() { gh.Repositories.GetContents(ctx, "o", "r", "", nil) },
		"create a file": func() { gh.Repositories.CreateFile(ctx, "o", "r", "a/b.yaml", content) },
		"list commits": func() {
			gh.Repositories.ListCommits(ctx, "o", "r", &github.CommitsListOptions{SHA: "main", Path: "a", ListOptions: page})
		},
		"get a commit":   func() { gh.Repositories.GetCommit(ctx, "o", "r", "a/b", &page) },
		"compare":        func() { gh.Repositories.CompareCommits(ctx, "o", "r", "a/b", "c/d", &page) },
		"get a branch":   func() { gh.Repositories.GetBranch(ctx, "o", "r", "a/b", 1) },
		"get protection": func() { gh.Repositories.GetBranchProtection(ctx, "o", "r", "a/b") },
		"get rules":      func() { gh.Repositories.GetRulesForBranch(ctx, "o", "r", "a/b") },
		"open a pull request": func() {
			gh.PullRequests.Create(ctx, "o", "r", &github.NewPullRequest{Title: github.String("t"), Head: github.String("h"), Base: github.String("b"), Body: github.String(""), Draft: github.Bool(true)})
		},
		"list pull requests": func() {
			gh.PullRequests.List(ctx, "o", "r", &github.PullRequestListOptions{State: "open", Head: "o:h", Base: "b", ListOptions: page})
		},
		"edit a pull request": func() {
			gh.PullRequests.Edit(ctx, "o", "r", 1, &github.PullRequest{Title: github.String("t"), Body: github.String("b"), State: github.String("closed")})
		},
		"list files": func() { gh.PullRequests.ListFiles(ctx, "o", "r", 1, &page) },
		"merge": func() {
			gh.PullRequests.Merge(ctx, "o", "r", 1, "m", &github.PullRequestOptions{SHA: "abc", MergeMethod: "squash"})
		},
		"update the branch": func() { gh.PullRequests.UpdateBranch(ctx, "o", "r", 1, nil) },
		"ask for reviews": func() {
			gh.PullRequests.RequestReviewers(ctx, "o", "r", 1, github.ReviewersRequest{Reviewers: []string{"u"}})
		},
		"review": func() {
			gh.PullRequests.CreateReview(ctx, "o", "r", 1, &github.PullRequestReviewRequest{Body: github.String("b"), Event: github.String("APPROVE")})
		},
		"comment":        func() { gh.Issues.CreateComment(ctx, "o", "r", 1, &github.IssueComment{Body: github.String("b")}) },
		"list comments":  func() { gh.Issues.ListComments(ctx, "o", "r", 1, &github.IssueListCommentsOptions{ListOptions: page}) },
		"edit a comment": func() { gh.Issues.EditComment(ctx, "o", "r", 1, &github.IssueComment{Body: github.String("b")}) },
		"label":          func() { gh.Issues.AddLabelsToIssue(ctx, "o", "r", 1, []string{"a"}) },
		"set a status": func() {
			gh.Repositories.CreateStatus(ctx, "o", "r", "abc", &github.RepoStatus{State: github.String("success"), Context: github.String("pawl"), Description: github.String("d"), TargetURL: github.String("https://a/b")})
		},
		"combined status":    func() { gh.Repositories.GetCombinedStatus(ctx, "o", "r", "abc", &page) },
		"create a check run": func() { gh.Checks.CreateCheckRun(ctx, "o", "r", checkRun()) },
		"update a check run": func() {
			gh.Checks.UpdateCheckRun(ctx, "o", "r", 1, github.UpdateCheckRunOptions{Name: "n", Status: github.String("completed"), Conclusion: github.String("failure")})
		},
		"list check runs": func() {
			gh.Checks.ListCheckRunsForRef(ctx, "o", "r", "a/b", &github.ListCheckRunsOptions{CheckName: github.String("n"), Filter: github.String("latest"), AppID: github.Int64(1), ListOptions: page})
		},
		"rerequest a run": func() { gh.Checks.ReRequestCheckRun(ctx, "o", "r", 1) },
		"deploy":          func() { gh.Repositories.CreateDeployment(ctx, "o", "r", deployment()) },
		"set its status": func() {
			gh.Repositories.CreateDeploymentStatus(ctx, "o", "r", 1, &github.DeploymentStatusRequest{State: github.String("success"), Description: github.String("d"), AutoInactive: github.Bool(true)})
		},
		"create a hook": func() {
			gh.Repositories.CreateHook(ctx, "o", "r", &github.Hook{Config: &github.HookConfig{URL: github.String("https://a/b"), ContentType: github.String("json"), Secret: github.String("s")}, Events: []string{"push"}, Active: github.Bool(true)})
		},
		"list deliveries": func() {
			gh.Repositories.ListHookDeliveries(ctx, "o", "r", 1, &github.ListCursorOptions{PerPage: 100, Cursor: "v1_1"})
		},
		"redeliver":           func() { gh.Repositories.RedeliverHookDelivery(ctx, "o", "r", 1, 2) },
		"an App's deliveries": func() { gh.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: 100}) },
		"an App redelivers":   func() { gh.Apps.RedeliverHookDelivery(ctx, 2) },
		"find installation":   func() { gh.Apps.FindRepositoryInstallation(ctx, "o", "r") },
		"a token": func() {
			gh.Apps.CreateInstallationToken(ctx, 1, &github.InstallationTokenOptions{Repositories: []string{"r"}, Permissions: &github.InstallationPermissions{Contents: github.String("write")}})
		},
		"its repositories":    func() { gh.Apps.ListRepos(ctx, &page) },
		"limits":              func() { gh.RateLimit.Get(ctx) },
		"meta":                func() { gh.Meta.Get(ctx) },
		"a user's permission": func() { gh.Repositories.GetPermissionLevel(ctx, "o", "r", "u") },
		"a team's members": func() {
			gh.Teams.ListTeamMembersBySlug(ctx, "o", "t", &github.TeamListTeamMembersOptions{ListOptions: page})
		},
	} {
		call()
		for _, v := range seen.take() {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func reference() *github.Reference {
	return &github.Reference{Ref: github.String("refs/heads/a/b"), Object: &github.GitObject{SHA: github.String("abc")}}
}

func checkRun() github.CreateCheckRunOptions {
	return github.CreateCheckRunOptions{
		Name: "pawl", HeadSHA: "abc", Status: github.String("completed"), Conclusion: github.String("success"),
		StartedAt: &github.Timestamp{}, ExternalID: github.String("1"), DetailsURL: github.String("https://a/b"),
		Output:  &github.CheckRunOutput{Title: github.String("t"), Summary: github.String("s"), Text: github.String("x")},
		Actions: []*github.CheckRunAction{{Label: "l", Description: "d", Identifier: "i"}},
	}
}

func deployment() *github.DeploymentRequest {
	return &github.DeploymentRequest{
		Ref: github.String("abc"), AutoMerge: github.Bool(false), RequiredContexts: &[]string{}, Environment: github.String("prod"),
	}
}

// Whatever a stranger or a broken server says, the checker answers and does
// not fall over; and it says the same twice.
func FuzzCheck(f *testing.F) {
	f.Add("POST", "/repos/o/r/check-runs", 201, []byte(`{"name":"n","head_sha":"abc"}`))
	f.Add("GET", "/repos/o/r/contents/?ref=main", 200, []byte(`[{"type":"file"}]`))
	f.Add("GET", "/repos/o/r/git/ref/heads/%2e%2e", 404, []byte(`{"message":1}`))
	f.Add("PUT", "/api/v3/repos/o/r/branches/a/b/protection", 200, []byte(`{"required_status_checks":null}`))
	f.Add("check_run", "completed", 0, []byte(`{"action":"completed","check_run":{"id":1e400}}`))
	c := load4test(f)
	f.Fuzz(func(t *testing.T, method, target string, status int, body []byte) {
		header := delivery(method)
		if first, again := c.CheckWebhook(method, header, body), c.CheckWebhook(method, header, body); (first == nil) != (again == nil) {
			t.Errorf("webhook: %v, then %v", first, again)
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := (&http.Request{Method: method, URL: u, Header: header, Body: http.NoBody}).WithContext(context.Background())
		first, again := c.CheckRequest(r, body), c.CheckRequest(r, body)
		if (first == nil) != (again == nil) {
			t.Errorf("request: %v, then %v", first, again)
		}
		if first == nil && len(body) > 0 && method != http.MethodHead && !json.Valid(body) {
			t.Errorf("took a body that is not JSON: %q", body)
		}
		c.CheckResponse(r, status, header, body)
	})
}
