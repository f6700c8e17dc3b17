package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// pull is a pull request. Head and base are branches of the same repository:
// there are no forks here.
type pull struct {
	number                           int
	id                               int64
	title, body, state               string
	draft                            bool
	user                             *account
	headRef, baseRef                 string
	headSHA, baseSHA                 string
	created, updated, closed, merged time.Time
	mergedBy                         *account
	mergeSHA                         string // the test merge while it is open
	mergedOnto                       string // the base before it was merged
	reviews                          []*review
	requested                        []*account
	labels                           []string

	unknownReads int // answers of mergeable: null still to give
	checked      mergeCheck
	size         pullSize
}

// pullSize is what a pull request changes, for the ids it was counted for.
type pullSize struct {
	head, base                          string
	commits, files, additions, deletion int
}

var pullRoutes = []route{
	{"GET /repos/{owner}/{repo}/pulls", "pull_requests:read", listPulls},
	{"POST /repos/{owner}/{repo}/pulls", "pull_requests:write", createPull},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}", "pull_requests:read", getPull},
	{"PATCH /repos/{owner}/{repo}/pulls/{pull_number}", "pull_requests:write", updatePull},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/files", "pull_requests:read", listPullFiles},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/commits", "pull_requests:read", listPullCommits},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/merge", "pull_requests:read", isMerged},
	{"PUT /repos/{owner}/{repo}/pulls/{pull_number}/merge", "contents:write", mergePull},
	{"PUT /repos/{owner}/{repo}/pulls/{pull_number}/update-branch", "pull_requests:write", updateBranch},
}

func (c *call) pull() (*pull, error) {
	n, err := c.number("pull_number")
	if err != nil {
		return nil, err
	}
	p := c.repo.pulls[int(n)]
	if p == nil {
		return nil, notFound()
	}
	return p, nil
}

// sortedPulls are all, the newest first.
func (r *repository) sortedPulls() []*pull {
	all := make([]*pull, 0, len(r.pulls))
	for _, p := range r.pulls {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pull) int { return b.number - a.number })
	return all
}

// pullJSON is a pull request as lists show it.
func (s *Server) pullJSON(r *repository, p *pull) object {
	n := strconv.Itoa(p.number)
	url, html, issue := s.repoURL(r, "pulls", n), s.htmlURL(r, "pull", n), s.repoURL(r, "issues", n)
	link := func(href string) object { return object{"href": href} }
	owner := s.userJSON(r.owner)
	side := func(ref, sha string) object {
		return object{"label": r.owner.login + ":" + ref, "ref": ref, "sha": sha, "user": owner, "repo": s.repositoryJSON(r)}
	}
	labels := []object{}
	for _, name := range p.labels {
		labels = append(labels, s.labelJSON(r, r.labels[strings.ToLower(name)]))
	}
	reviewers := []object{}
	for _, a := range p.requested {
		reviewers = append(reviewers, s.userJSON(a))
	}
	statuses := s.repoURL(r, "statuses", p.headSHA)
	return object{
		"id": p.id, "node_id": nodeID("PR", p.id), "number": p.number, "state": p.state, "locked": false, "title": p.title,
		"url": url, "html_url": html, "diff_url": html + ".diff", "patch_url": html + ".patch", "issue_url": issue,
		"commits_url": url + "/commits", "review_comments_url": url + "/comments", "review_comment_url": s.repoURL(r, "pulls/comments{/number}"),
		"comments_url": issue + "/comments", "statuses_url": statuses, "user": s.userJSON(p.user), "body": orNull(p.body),
		"created_at": stamp(p.created), "updated_at": stamp(p.updated), "closed_at": stampOrNull(p.closed), "merged_at": stampOrNull(p.merged),
		"merge_commit_sha": orNull(p.mergeSHA), "assignee": nil, "assignees": []any{}, "requested_reviewers": reviewers,
		"requested_teams": []any{}, "labels": labels, "milestone": nil, "draft": p.draft, "active_lock_reason": nil,
		"head": side(p.headRef, p.headSHA), "base": side(p.baseRef, p.baseSHA), "author_association": "MEMBER", "auto_merge": nil,
		"_links": object{
			"self": link(url), "html": link(html), "issue": link(issue), "comments": link(issue + "/comments"),
			"review_comments": link(url + "/comments"), "review_comment": link(s.repoURL(r, "pulls/comments{/number}")),
			"commits": link(url + "/commits"), "statuses": link(statuses),
		},
	}
}

// wholePullJSON is a pull request as GET of one shows it. Mergeability is given
// by the caller: reading it is an event of its own.
func (s *Server) wholePullJSON(ctx context.Context, r *repository, p *pull, m mergeability) (object, error) {
	size, err := r.measure(ctx, p)
	if err != nil {
		return nil, err
	}
	o := s.pullJSON(r, p)
	comments := 0
	for _, one := range r.comments {
		if one.issue == p.number {
			comments++
		}
	}
	for k, v := range (object{
		"merged": !p.merged.IsZero(), "mergeable": m.mergeable, "rebaseable": m.mergeable, "mergeable_state": m.state, "merged_by": nil,
		"comments": comments, "review_comments": 0, "maintainer_can_modify": false, "commits": size.commits,
		"additions": size.additions, "deletions": size.deletion, "changed_files": size.files,
	}) {
		o[k] = v
	}
	if p.mergedBy != nil {
		o["merged_by"] = s.userJSON(p.mergedBy)
	}
	return o, nil
}

// measure counts commits and lines, once for each head and base.
func (r *repository) measure(ctx context.Context, p *pull) (pullSize, error) {
	if p.size.head == p.headSHA && p.size.base == p.baseSHA {
		return p.size, nil
	}
	files, err := r.changes(ctx, p)
	if err != nil {
		return pullSize{}, err
	}
	commits, err := r.count(ctx, p.baseSHA, p.headSHA)
	if err != nil {
		return pullSize{}, err
	}
	additions, deletions := sum(files)
	p.size = pullSize{p.headSHA, p.baseSHA, commits, len(files), additions, deletions}
	return p.size, nil
}

func (c *call) branchTip(name string) (string, error) {
	return c.repo.git.Resolve(c.request.Context(), "refs/heads/"+name)
}

func createPull(c *call) (int, any, error) {
	var in struct {
		Title, Head, Base, Body string
		Draft                   bool
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	head := in.Head
	if owner, branch, ok := strings.Cut(head, ":"); ok {
		if !strings.EqualFold(owner, c.repo.owner.login) {
			return 0, nil, invalid("PullRequest", "head", "invalid", "")
		}
		head = branch
	}
	headSHA, err := c.branchTip(head)
	if errors.Is(err, git.ErrUnknown) {
		return 0, nil, invalid("PullRequest", "head", "invalid", "")
	}
	if err != nil {
		return 0, nil, err
	}
	baseSHA, err := c.branchTip(in.Base)
	if errors.Is(err, git.ErrUnknown) {
		return 0, nil, invalid("PullRequest", "base", "invalid", "")
	}
	if err != nil {
		return 0, nil, err
	}
	if in.Title == "" {
		return 0, nil, invalid("PullRequest", "title", "missing_field", "")
	}
	for _, other := range c.repo.pulls {
		if other.state == "open" && other.headRef == head && other.baseRef == in.Base {
			return 0, nil, invalid("PullRequest", "", "custom", fmt.Sprintf("A pull request already exists for %s:%s.", c.repo.owner.login, head))
		}
	}
	ctx := c.request.Context()
	n, err := c.repo.count(ctx, baseSHA, headSHA)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, invalid("PullRequest", "", "custom", fmt.Sprintf("No commits between %s and %s", in.Base, head))
	}
	now := c.now()
	p := &pull{
		number: c.repo.nextNumber, id: c.id(), title: in.Title, body: in.Body, state: "open", draft: in.Draft, user: c.who.account,
		headRef: head, baseRef: in.Base, headSHA: headSHA, baseSHA: baseSHA, created: now, updated: now, unknownReads: c.unknownReads(),
	}
	c.repo.nextNumber++
	c.repo.pulls[p.number] = p
	if err := c.repo.setPullRef(ctx, p, "head", headSHA); err != nil {
		return 0, nil, err
	}
	if err := c.emitPull(ctx, c.repo, p, c.who.account, "opened", nil); err != nil {
		return 0, nil, err
	}
	o, err := c.wholePullJSON(ctx, c.repo, p, mergeability{state: "unknown"})
	return http.StatusCreated, o, err
}

// setPullRef moves one of GitHub's own refs, of which nobody is told.
func (r *repository) setPullRef(ctx context.Context, p *pull, which, sha string) error {
	_, err := r.git.Run(ctx, "update-ref", fmt.Sprintf("refs/pull/%d/%s", p.number, which), sha)
	return err
}

func listPulls(c *call) (int, any, error) {
	state := c.query("state")
	head := c.query("head")
	if _, branch, ok := strings.Cut(head, ":"); ok {
		head = branch
	}
	out := []*pull{}
	for _, p := range c.repo.sortedPulls() {
		if (state == "all" || p.state == state || state == "" && p.state == "open") &&
			(head == "" || p.headRef == head) && (c.query("base") == "" || p.baseRef == c.query("base")) {
			out = append(out, p)
		}
	}
	if c.query("sort") == "updated" {
		slices.SortStableFunc(out, func(a, b *pull) int { return b.updated.Compare(a.updated) })
	}
	// GitHub sorts by creation, descending, unless asked otherwise.
	if c.query("direction") == "asc" || c.query("direction") == "" && c.query("sort") == "updated" {
		slices.Reverse(out)
	}
	list := []object{}
	for _, p := range page(c, out) {
		list = append(list, c.pullJSON(c.repo, p))
	}
	return http.StatusOK, list, nil
}

func getPull(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	if c.accepts("diff") || c.accepts("patch") {
		format, args := "diff", []string{"diff", "-M", p.baseSHA + "..." + p.headSHA}
		if c.accepts("patch") {
			format, args = "patch", []string{"format-patch", "--stdout", p.baseSHA + ".." + p.headSHA}
		}
		out, err := c.repo.git.Run(ctx, args...)
		return http.StatusOK, text{"application/vnd.github." + format + "; charset=utf-8", out}, err
	}
	m, err := c.mergeability(ctx, c.repo, p)
	if err != nil {
		return 0, nil, err
	}
	o, err := c.wholePullJSON(ctx, c.repo, p, m)
	return http.StatusOK, o, err
}

func listPullFiles(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	files, err := c.repo.changes(c.request.Context(), p)
	return http.StatusOK, c.filesJSON(c.repo, p.headSHA, page(c, files)), err
}

func listPullCommits(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	list, err := c.repo.commits(c.request.Context(), false, "--reverse", "--topo-order", p.headSHA, "^"+p.baseSHA, "--")
	if err != nil {
		return 0, nil, err
	}
	// "Lists a maximum of 250 commits." docs.github.com/rest/pulls/pulls
	list = page(c, list[:min(len(list), 250)])
	if err := c.repo.readSignatures(c.request.Context(), list...); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.commitsJSON(c.repo, list), nil
}
