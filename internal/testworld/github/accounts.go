package github

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// account is a person, an organisation or an App's bot.
type account struct {
	id    int64
	login string
	kind  string // User, Organization, Bot
}

func (s *Server) accountLocked(login, kind string) *account {
	a := s.accounts[strings.ToLower(login)]
	if a == nil {
		a = &account{id: s.idLocked(), login: login, kind: kind}
		s.accounts[strings.ToLower(login)] = a
	}
	return a
}

// accountOf finds an account, and makes a person of a name nobody has: whoever
// commits by git has one.
func (s *Server) accountOf(login string) *account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accountLocked(login, "User")
}

func (a *account) email() string {
	return fmt.Sprintf("%d+%s@users.noreply.github.com", a.id, a.login)
}

func nodeID(kind string, id int64) string { return fmt.Sprintf("%s_%d", kind, id) }

func (s *Server) userJSON(a *account) object {
	u := s.apiURL("users", escapeSegments(a.login))
	return object{
		"login": a.login, "id": a.id, "node_id": nodeID("U", a.id), "avatar_url": s.url + "/avatars/" + fmt.Sprint(a.id),
		"gravatar_id": "", "url": u, "html_url": s.url + "/" + escapeSegments(a.login), "followers_url": u + "/followers",
		"following_url": u + "/following{/other_user}", "gists_url": u + "/gists{/gist_id}",
		"starred_url": u + "/starred{/owner}{/repo}", "subscriptions_url": u + "/subscriptions",
		"organizations_url": u + "/orgs", "repos_url": u + "/repos", "events_url": u + "/events{/privacy}",
		"received_events_url": u + "/received_events", "type": a.kind, "site_admin": false,
	}
}

// AddUser makes a person who may write to every repository, and returns a
// classic personal access token (scope repo). SetRole allows more or less.
func (s *Server) AddUser(login string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accountLocked(login, "User")
	token = s.secretLocked("ghp_", 36)
	s.tokens[token] = &actor{kind: "user", account: a, classic: true}
	return token
}

// AddToken makes a fine-grained personal access token, which can do only what
// its permissions name ("contents": "read", "statuses": "write"), and of that
// only what the person may do. It cannot write checks: nobody's can.
func (s *Server) AddToken(login string, permissions map[string]string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accountLocked(login, "User")
	token = s.secretLocked("github_pat_", 60)
	s.tokens[token] = &actor{kind: "user", account: a, permissions: permissions}
	return token
}

// RevokeToken makes a token unknown.
func (s *Server) RevokeToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// actor is who asks.
type actor struct {
	kind    string   // user, installation, app, none
	account *account // the bot, for an installation
	classic bool
	app     *app
	// permissions of an installation's or a fine-grained token.
	permissions map[string]string
	// only are the repositories the token was narrowed to; nil means all.
	only    map[string]bool
	expires time.Time
	// err is why the credentials are refused.
	err error
}

func (a *actor) login() string {
	switch {
	case a.account != nil:
		return a.account.login
	case a.app != nil:
		return a.app.slug
	}
	return ""
}

var errBadCredentials = refuse(http.StatusUnauthorized, "Bad credentials")

// authenticate finds out who asks. Refused credentials are an answer of the
// API, so that they are logged, counted and checked as any other.
func (s *Server) authenticate(r *http.Request) *actor {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "":
		return &actor{kind: "none"}
	case "basic":
		_, token, _ = r.BasicAuth()
	case "bearer", "token":
	default:
		return &actor{kind: "none", err: errBadCredentials}
	}
	if strings.Count(token, ".") == 2 && !strings.HasPrefix(token, "ghs_") {
		return s.appOf(token)
	}
	return s.tokenOwner(token)
}

func (s *Server) tokenOwner(token string) *actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.tokens[token]
	if a == nil || (!a.expires.IsZero() && !s.now().Before(a.expires)) {
		return &actor{kind: "none", err: errBadCredentials}
	}
	return a
}

// roles in their order.
var roles = map[string]int{"none": 0, "read": 1, "triage": 2, "write": 3, "maintain": 4, "admin": 5}

// levels of a permission in their order.
var levels = map[string]int{"": 0, "read": 1, "write": 2, "admin": 3}

// roleFor is the role that an operation's permission takes.
func roleFor(permission, level string) string {
	switch {
	case permission == "administration" || permission == "repository_hooks":
		return "admin"
	case level == "write":
		return "write"
	}
	return "read"
}

// permit says whether the actor may do an operation that needs a permission.
// What it may not even see is not found.
func (c *call) permit(needs string) error {
	switch needs {
	case "":
		return nil
	case "app":
		if c.who.kind != "app" {
			return refuse(http.StatusUnauthorized, "A JSON web token could not be decoded")
		}
		return nil
	case "token":
		if c.who.kind != "user" && c.who.kind != "installation" {
			return refuse(http.StatusUnauthorized, "Requires authentication")
		}
		return nil
	case "installation":
		if c.who.kind != "installation" {
			return refuse(http.StatusForbidden, "You must authenticate with an installation access token in order to list repositories for an installation.")
		}
		return nil
	}
	permission, level, _ := strings.Cut(needs, ":")
	level, role, ok := strings.Cut(level, ":")
	if !ok {
		role = roleFor(permission, level)
	}
	return c.Server.permittedAs(c.who, c.repo, permission, level, role)
}

func (s *Server) permitted(who *actor, repo *repository, permission, level string) error {
	return s.permittedAs(who, repo, permission, level, roleFor(permission, level))
}

// permittedAs also says which role a person needs.
func (s *Server) permittedAs(who *actor, repo *repository, permission, level, needed string) error {
	switch who.kind {
	case "installation":
		if !who.app.sees(repo) || (who.only != nil && !who.only[repo.git.Name]) {
			return notFound()
		}
		if !grants(who.permissions, permission, level) {
			return forbid("Resource not accessible by integration", permission, level)
		}
		return nil
	case "user":
		role := repo.role(who.account.login)
		if roles[role] < roles["read"] {
			return notFound()
		}
		if permission == "checks" && level == "write" {
			if who.classic {
				return refuse(http.StatusForbidden, "You must authenticate via a GitHub App.")
			}
			return forbid("Resource not accessible by personal access token", permission, level)
		}
		if !who.classic && !grants(who.permissions, permission, level) {
			return forbid("Resource not accessible by personal access token", permission, level)
		}
		if roles[role] < roles[needed] {
			if needed == "admin" {
				return notFound()
			}
			return refuse(http.StatusForbidden, "Must have push access to repository")
		}
		return nil
	case "app":
		return refuse(http.StatusUnauthorized, "Requires authentication: an App's JWT opens /app only; use an installation token")
	}
	// Every repository is private, and a stranger does not see it.
	return notFound()
}

// grants: issues stands for the labels and comments of a pull request as well.
func grants(permissions map[string]string, permission, level string) bool {
	for one := range strings.SplitSeq(permission, "|") {
		if one == "metadata" && level == "read" || levels[permissions[one]] >= levels[level] {
			return true
		}
	}
	return false
}

func forbid(message, permission, level string) error {
	r := refuse(http.StatusForbidden, "%s", message).(*refusal)
	r.header = http.Header{"X-Accepted-Github-Permissions": {strings.ReplaceAll(permission, "|", "="+level+"; ") + "=" + level}}
	return r
}

func getUser(c *call) (int, any, error) {
	if c.who.kind != "user" {
		return 0, nil, refuse(http.StatusForbidden, "Resource not accessible by integration")
	}
	return http.StatusOK, c.profileJSON(c.who.account), nil
}

func (s *Server) profileJSON(a *account) object {
	u := s.userJSON(a)
	for k, v := range (object{
		"name": a.login, "company": nil, "blog": "", "location": nil, "email": nil, "hireable": nil, "bio": nil,
		"public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
		"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "user_view_type": "public",
	}) {
		u[k] = v
	}
	return u
}
