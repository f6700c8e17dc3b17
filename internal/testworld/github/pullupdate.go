package github

import (
	"errors"
	"net/http"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// updatePull changes title, body, base or state.
func updatePull(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	var in struct{ Title, Body, State, Base *string }
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	changes := object{}
	if in.Title != nil && *in.Title != p.title {
		changes["title"] = object{"from": p.title}
		p.title = *in.Title
	}
	if in.Body != nil && *in.Body != p.body {
		changes["body"] = object{"from": p.body}
		p.body = *in.Body
	}
	if in.Base != nil && *in.Base != p.baseRef {
		tip, err := c.branchTip(*in.Base)
		if err != nil {
			return 0, nil, invalid("PullRequest", "base", "invalid", "")
		}
		changes["base"] = object{"ref": object{"from": p.baseRef}, "sha": object{"from": p.baseSHA}}
		p.baseRef, p.baseSHA = *in.Base, tip
		c.forgetMergeability(p)
	}
	now := c.now()
	if len(changes) > 0 {
		p.updated = now
		if err := c.emitPull(ctx, c.repo, p, c.who.account, "edited", object{"changes": changes}); err != nil {
			return 0, nil, err
		}
	}
	if in.State != nil && *in.State != p.state {
		if err := c.setState(p, *in.State); err != nil {
			return 0, nil, err
		}
	}
	m, err := c.mergeability(ctx, c.repo, p)
	if err != nil {
		return 0, nil, err
	}
	o, err := c.wholePullJSON(ctx, c.repo, p, m)
	return http.StatusOK, o, err
}

func (c *call) setState(p *pull, state string) error {
	ctx, now := c.request.Context(), c.now()
	if state == "closed" {
		p.state, p.closed, p.updated = "closed", now, now
		return c.emitPull(ctx, c.repo, p, c.who.account, "closed", nil)
	}
	if !p.merged.IsZero() {
		return invalid("PullRequest", "state", "invalid", "state cannot be changed. The pull request cannot be reopened.")
	}
	tip, err := c.branchTip(p.headRef)
	if errors.Is(err, git.ErrUnknown) {
		return invalid("PullRequest", "state", "invalid", "state cannot be changed. The "+p.headRef+" branch has been deleted.")
	}
	if err != nil {
		return err
	}
	// A head that was force-pushed meanwhile cannot come back.
	ok, err := c.repo.contains(ctx, p.headSHA, tip)
	if err != nil {
		return err
	}
	if !ok {
		return invalid("PullRequest", "state", "invalid", "state cannot be changed. The "+p.headRef+" branch was force-pushed or recreated.")
	}
	p.state, p.closed, p.updated, p.headSHA = "open", p.merged, now, tip
	c.forgetMergeability(p)
	return c.emitPull(ctx, c.repo, p, c.who.account, "reopened", nil)
}

// updateBranch merges the base into the head.
func updateBranch(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Expected string `json:"expected_head_sha"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	if in.Expected != "" && in.Expected != p.headSHA {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "expected head sha didn’t match current head ref.")
	}
	if p.state != "open" {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "The pull request is closed.")
	}
	tip, err := c.branchTip(p.baseRef)
	if err != nil {
		return 0, nil, err
	}
	if up, err := c.repo.contains(ctx, tip, p.headSHA); err != nil || up {
		return 0, nil, errors.Join(err, refuse(http.StatusUnprocessableEntity, "There are no new commits on the base branch."))
	}
	tree, ok, err := c.repo.mergeTree(ctx, p.headSHA, tip)
	if err != nil {
		return 0, nil, err
	}
	if !ok {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "merge conflict between base and head")
	}
	now := c.now()
	sha, err := c.repo.writeCommit(ctx, newCommit{
		tree: tree, parents: []string{p.headSHA, tip}, author: c.who.account.person(now), committer: webFlow(now),
		message: "Merge branch '" + p.baseRef + "' into " + p.headRef,
	})
	if err != nil {
		return 0, nil, err
	}
	c.repo.verifications[sha] = valid
	if err := c.moveRef("refs/heads/"+p.headRef, p.headSHA, sha); err != nil {
		return 0, nil, err
	}
	return http.StatusAccepted, object{"message": "Updating pull request branch.", "url": c.repoURL(c.repo, "pulls", c.path("pull_number"))}, nil
}
