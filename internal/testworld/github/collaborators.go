package github

import (
	"net/http"
	"strings"
)

var collaboratorRoutes = []route{
	{"GET /repos/{owner}/{repo}/collaborators/{username}/permission", "metadata:read", getPermission},
}

// association is how GitHub words what somebody has to do with a repository.
// It says less than it seems: a member need not be allowed to write.
func (r *repository) association(a *account) string {
	if r.role(a.login) == "none" {
		return "NONE"
	}
	return "MEMBER"
}

// getPermission answers with the role in the old words, which know no triage
// and no maintain, and by its name.
func getPermission(c *call) (int, any, error) {
	c.mu.Lock()
	a := c.accounts[strings.ToLower(c.path("username"))]
	c.mu.Unlock()
	if a == nil {
		return 0, nil, notFound()
	}
	role := c.repo.role(a.login)
	permission := role
	switch role {
	case "maintain":
		permission = "write"
	case "triage":
		permission = "read"
	}
	level := roles[role]
	user := c.userJSON(a)
	user["role_name"] = role
	user["permissions"] = object{"admin": level >= 5, "maintain": level >= 4, "push": level >= 3, "triage": level >= 2, "pull": level >= 1}
	return http.StatusOK, object{"permission": permission, "role_name": role, "user": user}, nil
}
