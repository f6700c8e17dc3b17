package github

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// repository is what GitHub knows of a repository beside its git. Everything
// in it is guarded by git's lock.
type repository struct {
	git           *git.Repository
	id            int64
	owner         *account
	name          string
	created       time.Time
	pushed        time.Time
	defaultBranch string
	deleteMerged  bool
	roles         map[string]string // by login, beside the default
	nextNumber    int
	pulls         map[int]*pull
	comments      []*comment
	labels        map[string]*label
	statuses      map[string][]*status // by sha, the newest last
	runs          []*checkRun
	suites        []*checkSuite
	protections   map[string]*protection
	verifications map[string]string // what GitHub says of a signature, by commit
}

func (r *repository) role(login string) string {
	if role, ok := r.roles[strings.ToLower(login)]; ok {
		return role
	}
	return "write"
}

// CreateRepo makes an empty private repository of an organisation, and returns
// its git side, for commits as a person would push them.
func (s *Server) CreateRepo(owner, name string) (*git.Repository, error) {
	bare, err := s.git.CreateRepository(owner + "/" + name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repositories[bare.Name] = &repository{
		git: bare, id: s.idLocked(), owner: s.accountLocked(owner, "Organization"), name: name, created: s.now(), pushed: s.now(),
		defaultBranch: "main", roles: map[string]string{}, nextNumber: 1, pulls: map[int]*pull{}, labels: map[string]*label{},
		statuses: map[string][]*status{}, protections: map[string]*protection{}, verifications: map[string]string{},
	}
	return bare, nil
}

// SetRole gives a person another role than write: none, read, triage,
// maintain or admin.
func (s *Server) SetRole(repo, login, role string) error {
	if _, ok := roles[role]; !ok {
		return fmt.Errorf("give %s the role %q in %s: want none, read, triage, write, maintain or admin", login, role, repo)
	}
	return s.with(repo, func(r *repository) { r.roles[strings.ToLower(login)] = role })
}

// DeleteMergedBranches is the repository's setting of that name.
func (s *Server) DeleteMergedBranches(repo string, on bool) error {
	return s.with(repo, func(r *repository) { r.deleteMerged = on })
}

func (s *Server) with(name string, do func(*repository)) error {
	s.mu.Lock()
	r := s.repositories[name]
	s.mu.Unlock()
	if r == nil {
		return fmt.Errorf("there is no repository %s", name)
	}
	r.git.Lock()
	defer r.git.Unlock()
	do(r)
	return nil
}

func sortedByID(all []*repository) []*repository {
	slices.SortFunc(all, func(a, b *repository) int { return int(a.id - b.id) })
	return all
}

// repositoryURLs are the links of a repository; {} stays for the client.
var repositoryURLs = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
	"commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}", "contents_url": "/contents/{+path}",
	"contributors_url": "/contributors", "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
	"forks_url": "/forks", "git_commits_url": "/git/commits{/sha}", "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}",
	"hooks_url": "/hooks", "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}", "languages_url": "/languages",
	"merges_url": "/merges", "milestones_url": "/milestones{/number}", "notifications_url": "/notifications{?since,all,participating}",
	"pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
	"trees_url": "/git/trees{/sha}", "url": "",
}

// repoURL is where a thing of the repository is found in the API.
func (s *Server) repoURL(r *repository, parts ...string) string {
	return s.apiURL(append([]string{"repos", r.git.Name}, parts...)...)
}

func (s *Server) htmlURL(r *repository, parts ...string) string {
	return strings.Join(append([]string{s.url, r.git.Name}, parts...), "/")
}

// minimalJSON is the repository as it stands inside other answers.
func (s *Server) minimalJSON(r *repository) object {
	o := object{
		"id": r.id, "node_id": nodeID("R", r.id), "name": r.name, "full_name": r.git.Name, "private": true,
		"owner": s.userJSON(r.owner), "html_url": s.htmlURL(r), "description": nil, "fork": false,
	}
	for field, path := range repositoryURLs {
		o[field] = s.repoURL(r) + path
	}
	return o
}

func (s *Server) repositoryJSON(r *repository) object {
	o := s.minimalJSON(r)
	open := 0
	for _, p := range r.pulls {
		if p.state == "open" {
			open++
		}
	}
	for k, v := range (object{
		"clone_url": s.htmlURL(r) + ".git", "git_url": "git:" + strings.TrimPrefix(s.htmlURL(r), "http:") + ".git",
		"ssh_url": "git@127.0.0.1:" + r.git.Name + ".git", "svn_url": s.htmlURL(r), "mirror_url": nil, "homepage": nil,
		"language": nil, "license": nil, "topics": []string{}, "visibility": "private", "default_branch": r.defaultBranch,
		"forks": 0, "forks_count": 0, "watchers": 0, "watchers_count": 0, "stargazers_count": 0, "size": 0,
		"open_issues": open, "open_issues_count": open, "has_issues": true, "has_projects": false, "has_wiki": false,
		"has_pages": false, "has_downloads": true, "has_discussions": false, "archived": false, "disabled": false,
		"is_template": false, "allow_forking": true, "web_commit_signoff_required": false,
		"pushed_at": stamp(r.pushed), "created_at": stamp(r.created), "updated_at": stamp(r.pushed),
	}) {
		o[k] = v
	}
	return o
}

// fullJSON is the answer to GET /repos/{owner}/{repo}.
func (c *call) fullJSON(r *repository) object {
	o := c.repositoryJSON(r)
	for k, v := range (object{
		"network_count": 0, "subscribers_count": 0, "allow_squash_merge": true, "allow_merge_commit": true,
		"allow_rebase_merge": true, "allow_auto_merge": false, "delete_branch_on_merge": r.deleteMerged, "allow_update_branch": true,
	}) {
		o[k] = v
	}
	if c.who.kind == "user" {
		role := roles[r.role(c.who.account.login)]
		o["permissions"] = object{"admin": role >= 5, "maintain": role >= 4, "push": role >= 3, "triage": role >= 2, "pull": role >= 1}
	}
	return o
}

var repositoryRoutes = []route{
	{"GET /repos/{owner}/{repo}", "metadata:read", func(c *call) (int, any, error) { return http.StatusOK, c.fullJSON(c.repo), nil }},
	{"PATCH /repos/{owner}/{repo}", "administration:write", updateRepository},
}

func updateRepository(c *call) (int, any, error) {
	var in struct {
		DeleteBranchOnMerge *bool   `json:"delete_branch_on_merge"`
		DefaultBranch       *string `json:"default_branch"`
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if in.DeleteBranchOnMerge != nil {
		c.repo.deleteMerged = *in.DeleteBranchOnMerge
	}
	if in.DefaultBranch != nil {
		if _, err := c.repo.git.Resolve(c.request.Context(), "refs/heads/"+*in.DefaultBranch); err != nil {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "The branch %s was not found. Please push that ref first or create it via the Git Data API.", *in.DefaultBranch)
		}
		c.repo.defaultBranch = *in.DefaultBranch
	}
	return http.StatusOK, c.fullJSON(c.repo), nil
}
