package github

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// comment is on a pull request: here the only kind of issue there is.
type comment struct {
	id               int64
	issue            int
	user             *account
	body             string
	created, updated time.Time
}

type label struct {
	id                       int64
	name, color, description string
}

var issueRoutes = []route{
	{"GET /repos/{owner}/{repo}/labels", "issues|pull_requests:read", listRepoLabels},
	{"POST /repos/{owner}/{repo}/labels", "issues|pull_requests:write", createLabel},
	{"GET /repos/{owner}/{repo}/labels/{name}", "issues|pull_requests:read", getLabel},
	{"DELETE /repos/{owner}/{repo}/labels/{name}", "issues|pull_requests:write", deleteLabel},
	{"GET /repos/{owner}/{repo}/issues/{issue_number}/labels", "issues|pull_requests:read", listLabels},
	{"POST /repos/{owner}/{repo}/issues/{issue_number}/labels", "issues|pull_requests:write", addLabels},
	{"PUT /repos/{owner}/{repo}/issues/{issue_number}/labels", "issues|pull_requests:write", setLabels},
	{"DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}", "issues|pull_requests:write", removeLabel},
	{"GET /repos/{owner}/{repo}/issues/{issue_number}/comments", "issues|pull_requests:read", listComments},
	{"POST /repos/{owner}/{repo}/issues/{issue_number}/comments", "issues|pull_requests:write", createComment},
}

var commentRoutes = []route{
	{"GET /repos/{owner}/{repo}/issues/comments/{comment_id}", "issues|pull_requests:read", getComment},
	{"PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}", "issues|pull_requests:write", editComment},
	{"DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}", "issues|pull_requests:write", deleteComment},
}

func (c *call) issue() (*pull, error) {
	n, err := c.number("issue_number")
	if err != nil {
		return nil, err
	}
	p := c.repo.pulls[int(n)]
	if p == nil {
		return nil, notFound()
	}
	return p, nil
}

func (s *Server) labelJSON(r *repository, l *label) object {
	return object{
		"id": l.id, "node_id": nodeID("LA", l.id), "url": s.repoURL(r, "labels", escapeSegments(l.name)), "name": l.name,
		"color": l.color, "default": false, "description": l.description,
	}
}

func (c *call) labelsJSON(names []string) []object {
	out := []object{}
	for _, name := range names {
		out = append(out, c.labelJSON(c.repo, c.repo.labels[strings.ToLower(name)]))
	}
	return out
}

func listRepoLabels(c *call) (int, any, error) {
	all := []*label{}
	for _, l := range c.repo.labels {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *label) int { return strings.Compare(a.name, b.name) })
	out := []object{}
	for _, l := range page(c, all) {
		out = append(out, c.labelJSON(c.repo, l))
	}
	return http.StatusOK, out, nil
}

func (c *call) ensureLabel(name string) *label {
	key := strings.ToLower(name)
	if c.repo.labels[key] == nil {
		c.repo.labels[key] = &label{id: c.id(), name: name, color: "ededed"}
	}
	return c.repo.labels[key]
}

func createLabel(c *call) (int, any, error) {
	var in struct{ Name, Color, Description string }
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if c.repo.labels[strings.ToLower(in.Name)] != nil {
		return 0, nil, invalid("Label", "name", "already_exists", "")
	}
	if utf8.RuneCountInString(in.Description) > 100 {
		return 0, nil, invalid("Label", "description", "custom", "description is too long (maximum is 100 characters)")
	}
	l := c.ensureLabel(in.Name)
	l.description = in.Description
	if in.Color != "" {
		l.color = in.Color
	}
	return http.StatusCreated, c.labelJSON(c.repo, l), nil
}

func getLabel(c *call) (int, any, error) {
	l := c.repo.labels[strings.ToLower(c.path("name"))]
	if l == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.labelJSON(c.repo, l), nil
}

func deleteLabel(c *call) (int, any, error) {
	key := strings.ToLower(c.path("name"))
	if c.repo.labels[key] == nil {
		return 0, nil, notFound()
	}
	delete(c.repo.labels, key)
	for _, p := range c.repo.pulls {
		p.labels = slices.DeleteFunc(p.labels, func(n string) bool { return strings.ToLower(n) == key })
	}
	return http.StatusNoContent, nil, nil
}

func listLabels(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, page(c, c.labelsJSON(p.labels)), nil
}

// namedLabels reads {"labels": [...]} and, as GitHub does, a plain list.
func (c *call) namedLabels() ([]string, error) {
	var in struct{ Labels []string }
	if strings.HasPrefix(string(c.body), "[") {
		return in.Labels, json.Unmarshal(c.body, &in.Labels)
	}
	return in.Labels, c.read(&in)
}

func addLabels(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	names, err := c.namedLabels()
	if err != nil {
		return 0, nil, err
	}
	for _, name := range names {
		l := c.ensureLabel(name)
		if !slices.ContainsFunc(p.labels, func(n string) bool { return strings.EqualFold(n, name) }) {
			p.labels = append(p.labels, l.name)
			if err := c.emitPull(c.request.Context(), c.repo, p, c.who.account, "labeled", object{"label": c.labelJSON(c.repo, l)}); err != nil {
				return 0, nil, err
			}
		}
	}
	return http.StatusOK, c.labelsJSON(p.labels), nil
}

func setLabels(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	p.labels = nil
	return addLabels(c)
}

func removeLabel(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	i := slices.IndexFunc(p.labels, func(n string) bool { return strings.EqualFold(n, c.path("name")) })
	if i < 0 {
		return 0, nil, refuse(http.StatusNotFound, "Label does not exist")
	}
	l := c.repo.labels[strings.ToLower(p.labels[i])]
	p.labels = slices.Delete(p.labels, i, i+1)
	err = c.emitPull(c.request.Context(), c.repo, p, c.who.account, "unlabeled", object{"label": c.labelJSON(c.repo, l)})
	return http.StatusOK, c.labelsJSON(p.labels), err
}

func (s *Server) commentJSON(r *repository, m *comment) object {
	issue, id := strconv.Itoa(m.issue), strconv.FormatInt(m.id, 10)
	url := s.repoURL(r, "issues/comments", id)
	return object{
		"id": m.id, "node_id": nodeID("IC", m.id), "url": url, "html_url": s.htmlURL(r, "pull", issue) + "#issuecomment-" + id,
		"issue_url": s.repoURL(r, "issues", issue), "user": s.userJSON(m.user), "body": m.body, "author_association": "MEMBER",
		"created_at": stamp(m.created), "updated_at": stamp(m.updated), "performed_via_github_app": nil, "reactions": reactionsJSON(url),
	}
}

func reactionsJSON(url string) object {
	return object{
		"url": url + "/reactions", "total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0, "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
	}
}

func listComments(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	out := []object{}
	for _, m := range c.repo.comments {
		if m.issue == p.number {
			out = append(out, c.commentJSON(c.repo, m))
		}
	}
	return http.StatusOK, page(c, out), nil
}

// commentBody reads a body that is neither empty nor longer than GitHub takes.
func (c *call) commentBody() (string, error) {
	var in struct{ Body string }
	if err := c.read(&in); err != nil {
		return "", err
	}
	if strings.TrimSpace(in.Body) == "" {
		return "", invalid("IssueComment", "body", "missing_field", "")
	}
	if utf8.RuneCountInString(in.Body) > 65536 {
		return "", invalid("IssueComment", "body", "custom", "body is too long (maximum is 65536 characters)")
	}
	return in.Body, nil
}

func createComment(c *call) (int, any, error) {
	p, err := c.issue()
	if err != nil {
		return 0, nil, err
	}
	body, err := c.commentBody()
	if err != nil {
		return 0, nil, err
	}
	m := &comment{id: c.id(), issue: p.number, user: c.who.account, body: body, created: c.now(), updated: c.now()}
	c.repo.comments = append(c.repo.comments, m)
	err = c.emitComment(c.request.Context(), c.repo, p, m, c.who.account, "created", nil)
	return http.StatusCreated, c.commentJSON(c.repo, m), err
}

func (c *call) comment() (int, *comment, error) {
	id, err := c.number("comment_id")
	if err != nil {
		return 0, nil, err
	}
	for i, m := range c.repo.comments {
		if m.id == id {
			return i, m, nil
		}
	}
	return 0, nil, notFound()
}

func getComment(c *call) (int, any, error) {
	_, m, err := c.comment()
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.commentJSON(c.repo, m), nil
}

func editComment(c *call) (int, any, error) {
	_, m, err := c.comment()
	if err != nil {
		return 0, nil, err
	}
	body, err := c.commentBody()
	if err != nil {
		return 0, nil, err
	}
	was := m.body
	m.body, m.updated = body, c.now()
	err = c.emitComment(c.request.Context(), c.repo, c.repo.pulls[m.issue], m, c.who.account, "edited", object{"body": object{"from": was}})
	return http.StatusOK, c.commentJSON(c.repo, m), err
}

func deleteComment(c *call) (int, any, error) {
	i, m, err := c.comment()
	if err != nil {
		return 0, nil, err
	}
	c.repo.comments = slices.Delete(c.repo.comments, i, i+1)
	return http.StatusNoContent, nil, c.emitComment(c.request.Context(), c.repo, c.repo.pulls[m.issue], m, c.who.account, "deleted", nil)
}
