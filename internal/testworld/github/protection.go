package github

import (
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// Protection is a branch's rule.
type Protection struct {
	Checks []RequiredCheck
	Strict bool // the head must contain the base's tip
	// PullRequests forbids direct pushes; Approvals is how many are needed.
	PullRequests bool
	Approvals    int
	// DismissStale takes an approval back when the head moves.
	DismissStale bool
	// EnforceAdmins holds the role admin to it as well.
	EnforceAdmins                    bool
	AllowForcePushes, AllowDeletions bool
}

// RequiredCheck names a status context or a check run; AppID pins it to an App.
type RequiredCheck struct {
	Name  string
	AppID int64
}

type protection = Protection

// Protect sets a branch's rule, as an administrator would in the settings.
func (s *Server) Protect(repo, branch string, p Protection) error {
	if p.Approvals > 0 {
		p.PullRequests = true
	}
	return s.with(repo, func(r *repository) { r.protections[branch] = &p })
}

func (r *repository) bypasses(login, branch string) bool {
	rule := r.protections[branch]
	return rule != nil && !rule.EnforceAdmins && r.role(login) == "admin"
}

// unmet says what a pull request still lacks, in GitHub's words.
func (s *Server) unmet(r *repository, p *pull) []string {
	rule := r.protections[p.baseRef]
	if rule == nil {
		return nil
	}
	var lacks []string
	if approve, object := r.approvals(p); object > 0 && rule.PullRequests {
		lacks = append(lacks, "Changes have been requested by reviewers with write access.")
	} else if approve < rule.Approvals {
		lacks = append(lacks, fmt.Sprintf("At least %d approving review is required by reviewers with write access.", rule.Approvals))
	}
	return append(lacks, r.lackingChecks(rule, p.headSHA)...)
}

// lackingChecks: required is the latest of each name, on exactly this commit.
// When a status and a check have the same name, both must pass.
func (r *repository) lackingChecks(rule *protection, sha string) []string {
	var lacks []string
	for _, want := range rule.Checks {
		state := "expected"
		worse := func(s string) {
			if order := []string{"expected", "passing", "pending", "failing"}; indexOf(order, s) > indexOf(order, state) {
				state = s
			}
		}
		if want.AppID == 0 {
			for _, one := range r.latestStatuses(sha) {
				if strings.EqualFold(one.context, want.Name) {
					worse(map[string]string{"success": "passing", "pending": "pending"}[one.state])
					if one.state == "error" || one.state == "failure" {
						worse("failing")
					}
				}
			}
		}
		for _, run := range r.latestRuns(sha) {
			if run.name != want.Name || want.AppID != 0 && run.suite.app.id != want.AppID {
				continue
			}
			switch {
			case run.status != "completed":
				worse("pending")
			case run.passes():
				worse("passing")
			default:
				worse("failing")
			}
		}
		if state != "passing" {
			lacks = append(lacks, fmt.Sprintf("Required status check %q is %s.", want.Name, state))
		}
	}
	return lacks
}

func indexOf(list []string, s string) int {
	for i, one := range list {
		if one == s {
			return i
		}
	}
	return -1
}

// judgePush is asked before a git push is let in.
func (s *Server) judgePush(bare *git.Repository, by string, changes []git.Change) []git.Refusal {
	s.mu.Lock()
	r := s.repositories[bare.Name]
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	var out []git.Refusal
	for _, change := range changes {
		if !strings.HasPrefix(change.Ref, "refs/heads/") && !strings.HasPrefix(change.Ref, "refs/tags/") {
			out = append(out, git.Refusal{Ref: change.Ref, Message: "deny updating a hidden ref"})
			continue
		}
		out = append(out, r.refusals(by, change)...)
	}
	return out
}

// refusals are what protection has against moving a branch directly, whether
// by git or by the refs API.
func (r *repository) refusals(by string, change git.Change) []git.Refusal {
	branch := strings.TrimPrefix(change.Ref, "refs/heads/")
	rule := r.protections[branch]
	if rule == nil || branch == change.Ref || r.bypasses(by, branch) {
		return nil
	}
	var out []git.Refusal
	no := func(why string, onlyForced bool) {
		out = append(out, git.Refusal{
			Ref: change.Ref, OnlyForced: onlyForced, Message: "error: GH006: Protected branch update failed for " + change.Ref + ". " + why,
		})
	}
	switch {
	case change.After == git.Zero:
		if !rule.AllowDeletions {
			no("Cannot delete this protected branch", false)
		}
		return out
	case change.Before == git.Zero:
		return nil // a branch is made before its rule can be broken
	}
	if rule.PullRequests {
		no("Changes must be made through a pull request.", false)
	}
	for _, lack := range r.lackingChecks(rule, change.After) {
		no(lack, false)
	}
	if !rule.AllowForcePushes {
		no("Cannot force-push to this branch", true)
	}
	return out
}

// authenticateGit lets tokens in as passwords, whatever the user name, as
// GitHub does; x-access-token is customary.
func (s *Server) authenticateGit(name, user, password string) (string, git.Access) {
	if password == "" || password == "x-oauth-basic" {
		password = user
	}
	who := s.tokenOwner(password)
	s.mu.Lock()
	r := s.repositories[name]
	s.mu.Unlock()
	if who.err != nil {
		return "", git.NoAccess
	}
	if r == nil {
		return who.login(), git.ReadAccess // and then it is not found
	}
	// The roles are guarded by the repository's lock.
	r.git.Lock()
	defer r.git.Unlock()
	switch {
	case s.permitted(who, r, "contents", "write") == nil:
		return who.login(), git.WriteAccess
	case s.permitted(who, r, "contents", "read") == nil:
		return who.login(), git.ReadAccess
	}
	return who.login(), git.NoAccess
}
