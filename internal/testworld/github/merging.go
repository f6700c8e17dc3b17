package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// mergeCheck is the outcome of a trial merge of two ids.
type mergeCheck struct {
	head, base string
	ok         bool
}

// mergeability is how GitHub words it: mergeable is null, true or false.
type mergeability struct {
	mergeable any
	state     string
}

// conflict tells git merge-tree's "conflicts" (exit code 1) from its failures.
func conflict(err error) bool {
	var failed *git.CommandError
	return errors.As(err, &failed) && failed.Code == 1
}

func (s *Server) unknownReads() int {
	switch n := s.options.UnknownMergeability; {
	case n == 0:
		return 1
	case n < 0:
		return 0
	default:
		return n
	}
}

func (s *Server) forgetMergeability(p *pull) { p.unknownReads = s.unknownReads() }

// mergeability is what a read of the pull request answers. The first reads
// after a change start the job and do not know yet.
func (s *Server) mergeability(ctx context.Context, r *repository, p *pull) (mergeability, error) {
	if p.state != "open" {
		return mergeability{state: "unknown"}, nil
	}
	if p.unknownReads > 0 {
		p.unknownReads--
		return mergeability{state: "unknown"}, nil
	}
	return s.tryMerge(ctx, r, p)
}

// tryMerge merges on trial. The order is GitHub's: dirty hides draft, draft
// hides blocked, and so on.
func (s *Server) tryMerge(ctx context.Context, r *repository, p *pull) (mergeability, error) {
	tip, err := r.git.Resolve(ctx, "refs/heads/"+p.baseRef)
	if err != nil {
		return mergeability{}, err
	}
	if p.checked.head != p.headSHA || p.checked.base != tip {
		if err := s.trialMerge(ctx, r, p, tip); err != nil {
			return mergeability{}, err
		}
	}
	if !p.checked.ok {
		return mergeability{false, "dirty"}, nil
	}
	state := "clean"
	switch {
	case p.draft:
		state = "draft"
	case len(s.unmet(r, p)) > 0:
		state = "blocked"
	default:
		behind, err := s.behind(ctx, r, p, tip)
		if err != nil {
			return mergeability{}, err
		}
		if behind {
			state = "behind"
		} else if r.unstable(p.headSHA) {
			state = "unstable"
		}
	}
	return mergeability{true, state}, nil
}

func (s *Server) trialMerge(ctx context.Context, r *repository, p *pull, tip string) error {
	tree, ok, err := r.mergeTree(ctx, tip, p.headSHA)
	if err != nil {
		return err
	}
	p.checked = mergeCheck{p.headSHA, tip, ok}
	p.mergeSHA = ""
	if !ok {
		return nil
	}
	now := s.now()
	p.mergeSHA, err = r.writeCommit(ctx, newCommit{
		tree: tree, parents: []string{tip, p.headSHA}, author: p.user.person(now), committer: webFlow(now),
		message: fmt.Sprintf("Merge %s into %s", p.headSHA, tip),
	})
	if err != nil {
		return err
	}
	return r.setPullRef(ctx, p, "merge", p.mergeSHA)
}

func (s *Server) behind(ctx context.Context, r *repository, p *pull, tip string) (bool, error) {
	rule := r.protections[p.baseRef]
	if rule == nil || !rule.Strict {
		return false, nil
	}
	in, err := r.contains(ctx, tip, p.headSHA)
	return !in, err
}

func isMerged(c *call) (int, any, error) {
	p, err := c.pull()
	if err == nil && p.merged.IsZero() {
		err = notFound()
	}
	return http.StatusNoContent, nil, err
}

// mergePull merges as asked, or refuses: 409 when the head is not the one the
// caller saw, 405 when it may not be merged.
func mergePull(c *call) (int, any, error) {
	p, err := c.pull()
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		Title   *string `json:"commit_title"`
		Message *string `json:"commit_message"`
		SHA     string
		Method  string `json:"merge_method"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	if p.state != "open" {
		return 0, nil, refuse(http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	}
	if in.SHA != "" && in.SHA != p.headSHA {
		return 0, nil, refuse(http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	}
	m, err := c.tryMerge(ctx, c.repo, p)
	if err != nil {
		return 0, nil, err
	}
	bypass := c.repo.bypasses(c.who.login(), p.baseRef)
	switch {
	case m.state == "dirty":
		return 0, nil, refuse(http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	case m.state == "draft":
		return 0, nil, refuse(http.StatusMethodNotAllowed, "Pull Request is still a draft")
	case m.state == "blocked" && !bypass:
		return 0, nil, refuse(http.StatusMethodNotAllowed, "%s", strings.Join(c.unmet(c.repo, p), " and "))
	case m.state == "behind" && !bypass:
		return 0, nil, refuse(http.StatusMethodNotAllowed, "The head branch was not up to date with the base branch: update it first.")
	}
	sha, err := c.mergeCommit(p, in.Method, in.Title, in.Message)
	if err != nil {
		return 0, nil, err
	}
	// Set first: the move of the base must find nothing left to do.
	before, open := p.checked.base, *p
	p.state, p.merged, p.closed, p.updated, p.mergedBy, p.mergeSHA, p.mergedOnto = "closed", c.now(), c.now(), c.now(), c.who.account, sha, before
	if err := c.repo.git.MoveRef(ctx, c.who.login(), "refs/heads/"+p.baseRef, before, sha); err != nil {
		*p = open
		return 0, nil, err
	}
	if err := c.emitPull(ctx, c.repo, p, c.who.account, "closed", nil); err != nil {
		return 0, nil, err
	}
	if c.repo.deleteMerged {
		if err := c.repo.git.MoveRef(ctx, c.who.login(), "refs/heads/"+p.headRef, p.headSHA, git.Zero); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusOK, object{"sha": sha, "merged": true, "message": "Pull Request successfully merged"}, nil
}

// mergeCommit writes what the method puts on the base; no ref moves yet.
func (c *call) mergeCommit(p *pull, method string, title, message *string) (string, error) {
	ctx, now, base := c.request.Context(), c.now(), p.checked.base
	if method == "rebase" {
		return c.rebase(p)
	}
	made := newCommit{parents: []string{base, p.headSHA}, author: c.who.account.person(now), committer: webFlow(now)}
	subject := fmt.Sprintf("Merge pull request #%d from %s/%s", p.number, c.repo.owner.login, p.headRef)
	body := p.title
	if method == "squash" {
		made.parents = []string{base}
		subject, body = fmt.Sprintf("%s (#%d)", p.title, p.number), ""
		list, err := c.repo.commits(ctx, false, "--reverse", p.headSHA, "^"+base, "--")
		if err != nil {
			return "", err
		}
		for _, one := range list {
			if len(list) > 1 {
				body += "* " + one.message + "\n\n"
			} else if _, rest, ok := strings.Cut(one.message, "\n"); ok {
				body = strings.TrimSpace(rest)
			}
		}
		made.author = p.user.person(now)
	}
	if title != nil && *title != "" {
		subject = *title
	}
	if message != nil {
		body = *message
	}
	made.message = strings.TrimSpace(subject + "\n\n" + body)
	var ok bool
	var err error
	if made.tree, ok, err = c.repo.mergeTree(ctx, base, p.headSHA); err != nil || !ok {
		return "", errors.Join(err, refuse(http.StatusMethodNotAllowed, "Pull Request is not mergeable"))
	}
	sha, err := c.repo.writeCommit(ctx, made)
	if err == nil {
		c.repo.verifications[sha] = valid
	}
	return sha, err
}

// rebase puts the head's commits on the base one by one. A commit is replayed
// as a merge of itself with a stand-in for its parent that has the tree reached
// so far, since git 2.39 cannot be told a merge base.
func (c *call) rebase(p *pull) (string, error) {
	ctx, onto := c.request.Context(), p.checked.base
	list, err := c.repo.commits(ctx, false, "--reverse", "--topo-order", "--no-merges", p.headSHA, "^"+onto, "--")
	if err != nil {
		return "", err
	}
	committer := webFlow(c.now())
	for _, one := range list {
		made := newCommit{tree: onto + "^{tree}", message: "so far", author: one.author, committer: committer}
		if len(one.parents) > 0 {
			made.parents = one.parents[:1]
		}
		reached, err := c.repo.writeCommit(ctx, made)
		if err != nil {
			return "", err
		}
		tree, ok, err := c.repo.mergeTree(ctx, reached, one.sha)
		if err != nil {
			return "", err
		}
		if !ok {
			return "", refuse(http.StatusMethodNotAllowed, "This branch can't be rebased")
		}
		if onto, err = c.repo.writeCommit(ctx, newCommit{tree: tree, parents: []string{onto}, message: one.message, author: one.author, committer: committer}); err != nil {
			return "", err
		}
	}
	return onto, nil
}
