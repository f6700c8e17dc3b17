package github

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func (s *Server) emitPush(ctx context.Context, r *repository, who *account, change git.Change, fresh []*commit) error {
	forced, err := r.forced(ctx, change.Before, change.After)
	if err != nil {
		return err
	}
	created, deleted := change.Before == git.Zero, change.After == git.Zero
	compare := s.htmlURL(r, "compare", change.Before[:12]+"..."+change.After[:12])
	commits := []object{}
	for _, c := range fresh {
		commits = append(commits, s.pushedJSON(r, c))
	}
	var head any
	if n := len(commits); n > 0 && commits[n-1]["id"] == change.After {
		head = commits[n-1] // one git process less before the webhook leaves
	} else if !deleted {
		c, err := r.commits(ctx, true, "-1", change.After, "--")
		if err != nil {
			return err
		}
		if len(c) > 0 { // a tag may point at no commit
			head = s.pushedJSON(r, c[0])
		}
	}
	repo := s.repositoryJSON(r)
	// In this one event the times are numbers, and the owner says more.
	repo["created_at"], repo["pushed_at"] = r.created.Unix(), r.pushed.Unix()
	owner := s.userJSON(r.owner)
	owner["name"], owner["email"] = r.owner.login, nil
	repo["owner"], repo["stargazers"], repo["master_branch"] = owner, 0, r.defaultBranch
	s.emit(r, "push", object{
		"ref": change.Ref, "before": change.Before, "after": change.After, "created": created, "deleted": deleted, "forced": forced,
		"base_ref": nil, "compare": compare, "commits": commits, "head_commit": head, "repository": repo,
		"pusher": object{"name": who.login, "email": who.email()}, "sender": s.userJSON(who),
	}, nil)

	kind, name := "branch", strings.TrimPrefix(change.Ref, "refs/heads/")
	if tag, ok := strings.CutPrefix(change.Ref, "refs/tags/"); ok {
		kind, name = "tag", tag
	}
	payload := object{"ref": name, "ref_type": kind, "pusher_type": "user", "repository": s.repositoryJSON(r), "sender": s.userJSON(who)}
	switch {
	case created:
		payload["master_branch"], payload["description"] = r.defaultBranch, nil
		s.emit(r, "create", payload, nil)
	case deleted:
		s.emit(r, "delete", payload, nil)
	}
	return nil
}

func (s *Server) pushedJSON(r *repository, c *commit) object {
	who := func(p person) object {
		o := object{"name": p.name, "email": p.email}
		if a, ok := s.accountByPerson(p).(object); ok {
			o["username"] = a["login"]
		}
		return o
	}
	return object{
		"id": c.sha, "tree_id": c.tree, "distinct": true, "message": c.message, "timestamp": stamp(c.committer.when),
		"url": s.htmlURL(r, "commit", c.sha), "author": who(c.author), "committer": who(c.committer),
		"added": notNull(c.added), "removed": notNull(c.removed), "modified": notNull(c.modified),
	}
}

// emitPull sends pull_request; extra are the fields that the action adds.
func (s *Server) emitPull(ctx context.Context, r *repository, p *pull, who *account, action string, extra object) error {
	shown, err := s.wholePullJSON(ctx, r, p, mergeability{state: "unknown"})
	if err != nil {
		return err
	}
	payload := object{"action": action, "number": p.number, "pull_request": shown, "repository": s.repositoryJSON(r), "sender": s.userJSON(who)}
	for k, v := range extra {
		payload[k] = v
	}
	s.emit(r, "pull_request", payload, nil)
	return nil
}

func (s *Server) emitReview(_ context.Context, r *repository, p *pull, v *review, who *account, action string) error {
	shown := s.reviewJSON(r, p, v)
	shown["state"] = strings.ToLower(v.state) // in events, unlike in answers
	shown["submitted_at"] = stampOrNull(v.submitted)
	shown["body"] = orNull(v.body)
	s.emit(r, "pull_request_review", object{
		"action": action, "review": shown, "pull_request": s.pullJSON(r, p), "repository": s.repositoryJSON(r), "sender": s.userJSON(who),
	}, nil)
	return nil
}

func (s *Server) emitComment(_ context.Context, r *repository, p *pull, m *comment, who *account, action string, changes object) error {
	issue := s.issueJSON(r, p)
	payload := object{"action": action, "issue": issue, "comment": s.commentJSON(r, m), "repository": s.repositoryJSON(r), "sender": s.userJSON(who)}
	if changes != nil {
		payload["changes"] = changes
	}
	s.emit(r, "issue_comment", payload, nil)
	return nil
}

// issueJSON shows a pull request as the issue that it also is.
func (s *Server) issueJSON(r *repository, p *pull) object {
	n := strconv.Itoa(p.number)
	url, pull := s.repoURL(r, "issues", n), s.pullJSON(r, p)
	comments := 0
	for _, m := range r.comments {
		if m.issue == p.number {
			comments++
		}
	}
	return object{
		"id": p.id, "node_id": pull["node_id"], "number": p.number, "title": p.title, "body": pull["body"], "user": pull["user"],
		"state": p.state, "locked": false, "labels": pull["labels"], "assignee": nil, "assignees": []any{}, "milestone": nil,
		"comments": comments, "created_at": pull["created_at"], "updated_at": pull["updated_at"], "closed_at": pull["closed_at"],
		"author_association": "MEMBER", "active_lock_reason": nil, "draft": p.draft, "performed_via_github_app": nil, "state_reason": nil,
		"url": url, "repository_url": s.repoURL(r), "labels_url": url + "/labels{/name}", "comments_url": url + "/comments",
		"events_url": url + "/events", "html_url": pull["html_url"], "timeline_url": url + "/timeline", "reactions": reactionsJSON(url),
		"pull_request": object{
			"url": pull["url"], "html_url": pull["html_url"], "diff_url": pull["diff_url"], "patch_url": pull["patch_url"], "merged_at": pull["merged_at"],
		},
	}
}

func (s *Server) emitStatus(ctx context.Context, r *repository, one *status) error {
	c, err := r.commit(ctx, one.sha)
	if err != nil {
		return err
	}
	out, err := r.git.Run(ctx, "for-each-ref", "--count=10", "--contains="+one.sha, "--format=%(refname:lstrip=2) %(objectname)", "refs/heads")
	if err != nil {
		return err
	}
	branches := []object{}
	for line := range strings.Lines(out) {
		name, tip, _ := strings.Cut(strings.TrimSpace(line), " ")
		branches = append(branches, object{
			"name": name, "protected": r.protections[name] != nil, "commit": object{"sha": tip, "url": s.repoURL(r, "commits", tip)},
		})
	}
	shown := s.statusJSON(r, one)
	s.emit(r, "status", object{
		"id": one.id, "sha": one.sha, "name": r.git.Name, "target_url": shown["target_url"], "avatar_url": shown["avatar_url"],
		"context": one.context, "description": shown["description"], "state": one.state, "commit": s.commitJSON(r, c), "branches": branches,
		"created_at": shown["created_at"], "updated_at": shown["updated_at"], "repository": s.repositoryJSON(r), "sender": s.userJSON(one.creator),
	}, nil)
	return nil
}

// emitRun sends check_run. What asks an App to act goes to that App alone.
func (s *Server) emitRun(_ context.Context, r *repository, run *checkRun, who *account, action string, extra object) error {
	shown, suite := s.runJSON(r, run), run.suite
	status, conclusion, _ := r.suiteState(suite)
	shown["check_suite"] = object{
		"id": suite.id, "node_id": nodeID("CS", suite.id), "head_branch": orNull(suite.branch), "head_sha": suite.sha, "status": status,
		"conclusion": orNull(conclusion), "url": s.repoURL(r, "check-suites", strconv.FormatInt(suite.id, 10)), "before": orNull(suite.before),
		"after": suite.sha, "pull_requests": shown["pull_requests"], "app": shown["app"],
		"created_at": stamp(suite.created), "updated_at": stamp(suite.updated),
	}
	payload := object{"action": action, "check_run": shown, "repository": s.repositoryJSON(r), "sender": s.userJSON(who)}
	for k, v := range extra {
		payload[k] = v
	}
	var only *app
	if action == "rerequested" || action == "requested_action" {
		only = suite.app
	}
	s.emit(r, "check_run", payload, only)
	return nil
}

func (s *Server) emitSuite(ctx context.Context, r *repository, suite *checkSuite, who *account, action string) error {
	shown, err := s.suiteJSON(ctx, r, suite)
	if err != nil {
		return err
	}
	delete(shown, "repository")
	if action == "requested" {
		shown["status"], shown["conclusion"] = "queued", nil
	}
	var only *app
	if slices.Contains([]string{"requested", "rerequested"}, action) {
		only = suite.app
	}
	s.emit(r, "check_suite", object{"action": action, "check_suite": shown, "repository": s.repositoryJSON(r), "sender": s.userJSON(who)}, only)
	return nil
}
