package github

import (
	"context"
	"net/http"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

var commitRoutes = []route{
	{"GET /repos/{owner}/{repo}/commits", "contents:read", listCommits},
	// The rest may be a branch with slashes, and then one of these.
	{"GET /repos/{owner}/{repo}/commits/{rest...}", "", func(c *call) (int, any, error) {
		for _, sub := range []struct {
			suffix, needs string
			handle        func(c *call, ref string) (int, any, error)
		}{
			{"/check-runs", "checks:read", listRunsForRef},
			{"/check-suites", "checks:read", listSuitesForRef},
			{"/statuses", "statuses:read", listStatuses},
			{"/status", "statuses:read", combinedStatus},
			{"/pulls", "pull_requests:read", listPullsOfCommit},
			{"", "contents:read", getCommit},
		} {
			if ref, ok := strings.CutSuffix(c.path("rest"), sub.suffix); ok && ref != "" {
				if err := c.permit(sub.needs); err != nil {
					return 0, nil, err
				}
				return sub.handle(c, ref)
			}
		}
		return 0, nil, notFound()
	}},
	{"GET /repos/{owner}/{repo}/compare/{basehead...}", "contents:read", compare},
}

// commitJSON is a commit as the commits API shows it.
func (s *Server) commitJSON(r *repository, c *commit) object {
	inner := s.gitCommitJSON(r, c)
	return object{
		"sha": c.sha, "node_id": "C_" + c.sha, "url": s.repoURL(r, "commits", c.sha), "html_url": s.htmlURL(r, "commit", c.sha),
		"comments_url": s.repoURL(r, "commits", c.sha, "comments"), "parents": inner["parents"],
		"author": s.accountByPerson(c.author), "committer": s.accountByPerson(c.committer),
		"commit": object{
			"url": inner["url"], "author": inner["author"], "committer": inner["committer"], "message": c.message,
			"comment_count": 0, "tree": inner["tree"], "verification": inner["verification"],
		},
	}
}

// accountByPerson finds whose address a commit carries; null when nobody's.
func (s *Server) accountByPerson(p person) any {
	local, ok := strings.CutSuffix(p.email, "@users.noreply.github.com")
	if !ok {
		return nil
	}
	if _, login, ok := strings.Cut(local, "+"); ok {
		local = login
	}
	s.mu.Lock()
	a := s.accounts[strings.ToLower(local)]
	s.mu.Unlock()
	if a == nil {
		return nil
	}
	return s.userJSON(a)
}

func (s *Server) commitsJSON(r *repository, list []*commit) []object {
	out := []object{}
	for _, c := range list {
		out = append(out, s.commitJSON(r, c))
	}
	return out
}

func listCommits(c *call) (int, any, error) {
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	ref := c.query("sha")
	if ref == "" {
		ref = c.repo.defaultBranch
	}
	sha, err := c.repo.find(c.request.Context(), ref)
	if err != nil {
		return 0, nil, err
	}
	args := []string{"-n", "1000"}
	for flag, name := range map[string]string{"--since=": "since", "--until=": "until", "--author=": "author"} {
		if v := c.query(name); v != "" {
			args = append(args, flag+v)
		}
	}
	args = append(args, sha, "--")
	if path := c.query("path"); path != "" {
		args = append(args, path)
	}
	list, err := c.repo.commits(c.request.Context(), false, args...)
	if err != nil {
		return 0, nil, err
	}
	list = page(c, list)
	if err := c.repo.readSignatures(c.request.Context(), list...); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.commitsJSON(c.repo, list), nil
}

// noCommit is what GitHub says of a commit it does not have.
func noCommit(ref string) error {
	return refuse(http.StatusUnprocessableEntity, "No commit found for SHA: %s", ref)
}

func getCommit(c *call, ref string) (int, any, error) {
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	sha, err := c.repo.find(ctx, ref)
	if err != nil {
		return 0, nil, noCommit(ref)
	}
	if c.accepts("sha") {
		return http.StatusOK, text{"application/vnd.github.sha; charset=utf-8", sha}, nil
	}
	if c.accepts("diff") {
		out, err := c.repo.git.Run(ctx, "diff-tree", "-p", "--root", "--no-commit-id", "-M", sha)
		return http.StatusOK, text{"application/vnd.github.diff; charset=utf-8", out}, err
	}
	found, err := c.repo.signedCommit(ctx, sha)
	if err != nil {
		return 0, nil, err
	}
	files, err := c.repo.diff(ctx, found.base(), sha)
	if err != nil {
		return 0, nil, err
	}
	o := c.commitJSON(c.repo, found)
	additions, deletions := sum(files)
	o["stats"] = object{"additions": additions, "deletions": deletions, "total": additions + deletions}
	o["files"] = c.filesJSON(c.repo, sha, files)
	return http.StatusOK, o, nil
}

// emptyTree is git's tree of nothing, in every repository.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// base is what a commit is compared with.
func (c *commit) base() string {
	if len(c.parents) > 0 {
		return c.parents[0]
	}
	return emptyTree
}

func listPullsOfCommit(c *call, ref string) (int, any, error) {
	ctx := c.request.Context()
	sha, err := c.repo.find(ctx, ref)
	if err != nil {
		return 0, nil, noCommit(ref)
	}
	out := []object{}
	for _, p := range c.repo.sortedPulls() {
		is := p.headSHA == sha || p.mergeSHA == sha
		if !is && p.state == "open" {
			is, err = c.repo.between(ctx, sha, p.baseSHA, p.headSHA)
		}
		// Whatever the merge brought to the base came by it, as do the commits
		// that a rebase made.
		if !is && !p.merged.IsZero() && p.mergedOnto != git.Zero {
			is, err = c.repo.between(ctx, sha, p.mergedOnto, p.mergeSHA)
		}
		if err != nil {
			return 0, nil, err
		}
		if is {
			out = append(out, c.pullJSON(c.repo, p))
		}
	}
	return http.StatusOK, page(c, out), nil
}

// between reports whether a commit is new in head, seen from base.
func (r *repository) between(ctx context.Context, sha, base, head string) (bool, error) {
	in, err := r.contains(ctx, sha, head)
	if err != nil || !in {
		return false, err
	}
	in, err = r.contains(ctx, sha, base)
	return !in, err
}

func compare(c *call) (int, any, error) {
	ctx := c.request.Context()
	base, head, ok := strings.Cut(c.path("basehead"), "...")
	if !ok {
		return 0, nil, notFound()
	}
	var ids [2]string
	for i, name := range []string{base, head} {
		if owner, branch, ok := strings.Cut(name, ":"); ok && strings.EqualFold(owner, c.repo.owner.login) {
			name = branch
		}
		var err error
		if ids[i], err = c.repo.find(ctx, name); err != nil {
			return 0, nil, err
		}
	}
	merge, err := c.repo.mergeBase(ctx, ids[0], ids[1])
	if err != nil {
		return 0, nil, err
	}
	if merge == "" {
		return 0, nil, refuse(http.StatusNotFound, "No common ancestor between %s and %s.", base, head)
	}
	if c.accepts("diff") {
		out, err := c.repo.git.Run(ctx, "diff", "-M", merge, ids[1])
		return http.StatusOK, text{"application/vnd.github.diff; charset=utf-8", out}, err
	}
	list, err := c.repo.commits(ctx, false, "--reverse", "--topo-order", ids[1], "^"+ids[0], "--")
	if err != nil {
		return 0, nil, err
	}
	behind, err := c.repo.count(ctx, ids[1], ids[0])
	if err != nil {
		return 0, nil, err
	}
	files, err := c.repo.diff(ctx, merge, ids[1])
	if err != nil {
		return 0, nil, err
	}
	baseCommit, err := c.repo.commit(ctx, ids[0])
	if err != nil {
		return 0, nil, err
	}
	mergeCommit, err := c.repo.commit(ctx, merge)
	if err != nil {
		return 0, nil, err
	}
	status := "identical"
	switch {
	case len(list) > 0 && behind > 0:
		status = "diverged"
	case len(list) > 0:
		status = "ahead"
	case behind > 0:
		status = "behind"
	}
	url, html := c.repoURL(c.repo, "compare", escapeSegments(c.path("basehead"))), c.htmlURL(c.repo, "compare", escapeSegments(c.path("basehead")))
	return http.StatusOK, object{
		"url": url, "html_url": html, "permalink_url": html, "diff_url": html + ".diff", "patch_url": html + ".patch",
		"base_commit": c.commitJSON(c.repo, baseCommit), "merge_base_commit": c.commitJSON(c.repo, mergeCommit), "status": status,
		"ahead_by": len(list), "behind_by": behind, "total_commits": len(list),
		"commits": c.commitsJSON(c.repo, page(c, list)), "files": c.filesJSON(c.repo, ids[1], files),
	}, nil
}
