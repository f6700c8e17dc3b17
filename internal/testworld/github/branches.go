package github

import (
	"net/http"
	"strings"
)

var branchRoutes = []route{
	{"GET /repos/{owner}/{repo}/branches", "contents:read", listBranches},
	{"GET /repos/{owner}/{repo}/branches/{branch}", "contents:read", getBranch},
	{"GET /repos/{owner}/{repo}/branches/{branch}/protection", "administration:read", getProtection},
	{"PUT /repos/{owner}/{repo}/branches/{branch}/protection", "administration:write", putProtection},
	{"DELETE /repos/{owner}/{repo}/branches/{branch}/protection", "administration:write", deleteProtection},
	{"GET /repos/{owner}/{repo}/rules/branches/{branch}", "metadata:read", listRules},
}

func listBranches(c *call) (int, any, error) {
	refs, err := c.listRefs("refs/heads/")
	if err != nil {
		return 0, nil, err
	}
	out := []object{}
	for _, ref := range refs {
		name := strings.TrimPrefix(ref["ref"].(string), "refs/heads/")
		protected := c.repo.protections[name] != nil
		if want := c.query("protected"); want != "" && want != map[bool]string{true: "true", false: "false"}[protected] {
			continue
		}
		sha := ref["object"].(object)["sha"].(string)
		out = append(out, object{
			"name": name, "protected": protected, "commit": object{"sha": sha, "url": c.repoURL(c.repo, "commits", sha)},
		})
	}
	return http.StatusOK, page(c, out), nil
}

func getBranch(c *call) (int, any, error) {
	name := c.path("branch")
	sha, err := c.branchTip(name)
	if err != nil {
		return 0, nil, refuse(http.StatusNotFound, "Branch not found")
	}
	found, err := c.repo.commit(c.request.Context(), sha)
	if err != nil {
		return 0, nil, err
	}
	url := c.repoURL(c.repo, "branches", escapeSegments(name))
	rule := c.repo.protections[name]
	protection := object{"enabled": rule != nil, "required_status_checks": object{"enforcement_level": "off", "contexts": []string{}, "checks": []any{}}}
	if rule != nil && len(rule.Checks) > 0 {
		protection["required_status_checks"] = object{
			"enforcement_level": map[bool]string{true: "everyone", false: "non_admins"}[rule.EnforceAdmins],
			"contexts":          rule.contexts(), "checks": rule.checksJSON(),
		}
	}
	return http.StatusOK, object{
		"name": name, "commit": c.commitJSON(c.repo, found), "protected": rule != nil, "protection": protection,
		"protection_url": url + "/protection", "_links": object{"self": url, "html": c.htmlURL(c.repo, "tree", escapeSegments(name))},
	}, nil
}

func (p *protection) contexts() []string {
	out := []string{}
	for _, check := range p.Checks {
		out = append(out, check.Name)
	}
	return out
}

func (p *protection) checksJSON() []object {
	out := []object{}
	for _, check := range p.Checks {
		o := object{"context": check.Name, "app_id": nil}
		if check.AppID != 0 {
			o["app_id"] = check.AppID
		}
		out = append(out, o)
	}
	return out
}

func (c *call) protectionJSON(name string, p *protection) object {
	url := c.repoURL(c.repo, "branches", escapeSegments(name), "protection")
	enabled := func(on bool) object { return object{"enabled": on} }
	o := object{
		"url": url, "enforce_admins": object{"url": url + "/enforce_admins", "enabled": p.EnforceAdmins},
		"required_linear_history": enabled(false), "allow_force_pushes": enabled(p.AllowForcePushes), "allow_deletions": enabled(p.AllowDeletions),
		"block_creations": enabled(false), "required_conversation_resolution": enabled(false), "lock_branch": enabled(false),
		"allow_fork_syncing": enabled(false), "required_signatures": object{"url": url + "/required_signatures", "enabled": false},
	}
	if len(p.Checks) > 0 || p.Strict {
		o["required_status_checks"] = object{
			"url": url + "/required_status_checks", "contexts_url": url + "/required_status_checks/contexts", "strict": p.Strict,
			"contexts": p.contexts(), "checks": p.checksJSON(),
		}
	}
	if p.PullRequests {
		o["required_pull_request_reviews"] = object{
			"url": url + "/required_pull_request_reviews", "dismiss_stale_reviews": p.DismissStale, "require_code_owner_reviews": false,
			"required_approving_review_count": p.Approvals, "require_last_push_approval": false,
		}
	}
	return o
}

func getProtection(c *call) (int, any, error) {
	name := c.path("branch")
	if _, err := c.branchTip(name); err != nil {
		return 0, nil, refuse(http.StatusNotFound, "Branch not found")
	}
	rule := c.repo.protections[name]
	if rule == nil {
		return 0, nil, refuse(http.StatusNotFound, "Branch not protected")
	}
	return http.StatusOK, c.protectionJSON(name, rule), nil
}

func putProtection(c *call) (int, any, error) {
	var in struct {
		Checks *struct {
			Strict   bool
			Contexts []string
			Checks   []struct {
				Context string
				AppID   int64 `json:"app_id"`
			}
		} `json:"required_status_checks"`
		Reviews *struct {
			DismissStale bool `json:"dismiss_stale_reviews"`
			Approvals    int  `json:"required_approving_review_count"`
		} `json:"required_pull_request_reviews"`
		EnforceAdmins    bool `json:"enforce_admins"`
		AllowForcePushes bool `json:"allow_force_pushes"`
		AllowDeletions   bool `json:"allow_deletions"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	name := c.path("branch")
	if _, err := c.branchTip(name); err != nil {
		return 0, nil, refuse(http.StatusNotFound, "Branch not found")
	}
	p := &protection{EnforceAdmins: in.EnforceAdmins, AllowForcePushes: in.AllowForcePushes, AllowDeletions: in.AllowDeletions}
	if in.Checks != nil {
		p.Strict = in.Checks.Strict
		for _, context := range in.Checks.Contexts {
			p.Checks = append(p.Checks, RequiredCheck{Name: context})
		}
		for _, check := range in.Checks.Checks {
			p.Checks = append(p.Checks, RequiredCheck{Name: check.Context, AppID: max(check.AppID, 0)})
		}
	}
	if in.Reviews != nil {
		p.PullRequests, p.Approvals, p.DismissStale = true, in.Reviews.Approvals, in.Reviews.DismissStale
	}
	c.repo.protections[name] = p
	return http.StatusOK, c.protectionJSON(name, p), nil
}

func deleteProtection(c *call) (int, any, error) {
	if c.repo.protections[c.path("branch")] == nil {
		return 0, nil, refuse(http.StatusNotFound, "Branch not protected")
	}
	delete(c.repo.protections, c.path("branch"))
	return http.StatusNoContent, nil, nil
}

// listRules: there are no rulesets here, only branch protection, which this
// does not list on GitHub either.
func listRules(*call) (int, any, error) { return http.StatusOK, []any{}, nil }
