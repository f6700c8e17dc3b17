package github

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type review struct {
	id        int64
	user      *account
	state     string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED, PENDING
	body      string
	commit    string
	submitted time.Time
}

var reviewRoutes = []route{
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews", "pull_requests:read", listReviews},
	// Whoever may read may review; it counts from those who may write.
	{"POST /repos/{owner}/{repo}/pulls/{pull_number}/reviews", "pull_requests:write:read", createReview},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}", "pull_requests:read", getReview},
	{"PUT /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}/dismissals", "pull_requests:write", dismissReview},
	{"GET /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", "pull_requests:read", listRequested},
	{"POST /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", "pull_requests:write", requestReviewers},
	{"DELETE /repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers", "pull_requests:write", unrequestReviewers},
}

func (s *Server) reviewJSON(r *repository, p *pull, v *review) object {
	html := s.htmlURL(r, "pull", strconv.Itoa(p.number)) + "#pullrequestreview-" + strconv.FormatInt(v.id, 10)
	url := s.repoURL(r, "pulls", strconv.Itoa(p.number))
	o := object{
		"id": v.id, "node_id": nodeID("PRR", v.id), "user": s.userJSON(v.user), "body": v.body, "state": v.state, "html_url": html,
		"pull_request_url": url, "author_association": r.association(v.user), "commit_id": v.commit,
		"_links": object{"html": object{"href": html}, "pull_request": object{"href": url}},
	}
	if !v.submitted.IsZero() {
		o["submitted_at"] = stamp(v.submitted)
	}
	return o
}

func listReviews(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	out := []object{}
	for _, v := range p.reviews {
		out = append(out, c.reviewJSON(c.repo, p, v))
	}
	return http.StatusOK, page(c, out), nil
}

func createReview(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Body, Event string
		CommitID    string `json:"commit_id"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	state := map[string]string{"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", "": "PENDING"}[in.Event]
	unprocessable := func(message string) error {
		return &refusal{status: http.StatusUnprocessableEntity, message: "Unprocessable Entity", errors: []any{message}}
	}
	switch {
	case state == "":
		return 0, nil, invalid("PullRequestReview", "event", "invalid", "")
	case p.user == c.who.account && state == "APPROVED":
		return 0, nil, unprocessable("Can not approve your own pull request")
	case p.user == c.who.account && state == "CHANGES_REQUESTED":
		return 0, nil, unprocessable("Can not request changes on your own pull request")
	case in.Body == "" && (state == "CHANGES_REQUESTED" || state == "COMMENTED"):
		return 0, nil, unprocessable("Body can't be blank")
	}
	if in.CommitID == "" {
		in.CommitID = p.headSHA
	}
	if kind, err := c.objectType(in.CommitID); err != nil || kind != "commit" || len(in.CommitID) != 40 {
		return 0, nil, unprocessable("The commit is not part of the pull request")
	}
	v := &review{id: c.id(), user: c.who.account, state: state, body: in.Body, commit: in.CommitID}
	p.reviews = append(p.reviews, v)
	p.requested = slices.DeleteFunc(p.requested, func(a *account) bool { return a == c.who.account })
	if state != "PENDING" {
		v.submitted = c.now()
		if err := c.emitReview(c.request.Context(), c.repo, p, v, c.who.account, "submitted"); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, c.reviewJSON(c.repo, p, v), nil
}

func (c *call) review(p *pull) (*review, error) {
	id, err := c.number("review_id")
	if err != nil {
		return nil, err
	}
	for _, v := range p.reviews {
		if v.id == id {
			return v, nil
		}
	}
	return nil, notFound()
}

func getReview(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	v, err := c.review(p)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.reviewJSON(c.repo, p, v), nil
}

func dismissReview(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	v, err := c.review(p)
	if err != nil {
		return 0, nil, err
	}
	if v.state != "APPROVED" && v.state != "CHANGES_REQUESTED" {
		return 0, nil, &refusal{status: http.StatusUnprocessableEntity, message: "Can not dismiss a " + strings.ToLower(v.state) + " pull request review"}
	}
	v.state = "DISMISSED"
	return http.StatusOK, c.reviewJSON(c.repo, p, v), c.emitReview(c.request.Context(), c.repo, p, v, c.who.account, "dismissed")
}

// dismissStale dismisses approvals of an older head.
func (s *Server) dismissStale(ctx context.Context, r *repository, p *pull, who *account) error {
	for _, v := range p.reviews {
		if v.state == "APPROVED" && v.commit != p.headSHA {
			v.state = "DISMISSED"
			if err := s.emitReview(ctx, r, p, v, who, "dismissed"); err != nil {
				return err
			}
		}
	}
	return nil
}

// approvals counts the people who approve and those who ask for changes: the
// last word of each who may write; a comment is no word.
func (r *repository) approvals(p *pull) (approve, object int) {
	last := map[*account]string{}
	for _, v := range p.reviews {
		if v.state != "COMMENTED" && v.state != "PENDING" && roles[r.role(v.user.login)] >= roles["write"] {
			last[v.user] = v.state
		}
	}
	for _, state := range last {
		switch state {
		case "APPROVED":
			approve++
		case "CHANGES_REQUESTED":
			object++
		}
	}
	return approve, object
}

func listRequested(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	users := []object{}
	for _, a := range p.requested {
		users = append(users, c.userJSON(a))
	}
	return http.StatusOK, object{"users": users, "teams": []any{}}, nil
}

// reviewers reads the people named; teams are not modelled, and refused.
func (c *call) reviewers() ([]*account, error) {
	var in struct {
		Reviewers     []string
		TeamReviewers []string `json:"team_reviewers"`
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.TeamReviewers) > 0 {
		return nil, refuse(http.StatusUnprocessableEntity, "Could not resolve to a node with the global id: the stand-in has no teams.")
	}
	var out []*account
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, login := range in.Reviewers {
		a := c.accounts[strings.ToLower(login)]
		if a == nil || roles[c.repo.role(a.login)] < roles["read"] {
			return nil, refuse(http.StatusUnprocessableEntity, "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the %s repository.", c.repo.git.Name)
		}
		out = append(out, a)
	}
	return out, nil
}

func requestReviewers(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	asked, err := c.reviewers()
	if err != nil {
		return 0, nil, err
	}
	for _, a := range asked {
		if a == p.user {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "Review cannot be requested from pull request author.")
		}
		if !slices.Contains(p.requested, a) {
			p.requested = append(p.requested, a)
			if err := c.emitPull(c.request.Context(), c.repo, p, c.who.account, "review_requested", object{"requested_reviewer": c.userJSON(a)}); err != nil {
				return 0, nil, err
			}
		}
	}
	return http.StatusCreated, c.pullJSON(c.repo, p), nil
}

func unrequestReviewers(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	asked, err := c.reviewers()
	if err != nil {
		return 0, nil, err
	}
	p.requested = slices.DeleteFunc(p.requested, func(a *account) bool { return slices.Contains(asked, a) })
	return http.StatusOK, c.pullJSON(c.repo, p), nil
}
