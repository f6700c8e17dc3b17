package github

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// hook is a repository's webhook or an App's. All hooks are guarded by the
// server's lock.
type hook struct {
	id               int64
	repo             *repository
	app              *app
	url, secret      string
	form             bool // content_type: form
	events           []string
	active           bool
	created, updated time.Time
	deliveries       []*delivery // the newest last
	pending          []*delivery
	sending          bool
	held             []*delivery // by a fault that reorders
}

var hookRoutes = []route{
	{"GET /repos/{owner}/{repo}/hooks", "repository_hooks:read", listHooks},
	{"POST /repos/{owner}/{repo}/hooks", "repository_hooks:write", createHook},
	{"GET /repos/{owner}/{repo}/hooks/{hook_id}", "repository_hooks:read", getHook},
	{"PATCH /repos/{owner}/{repo}/hooks/{hook_id}", "repository_hooks:write", updateHook},
	{"DELETE /repos/{owner}/{repo}/hooks/{hook_id}", "repository_hooks:write", deleteHook},
	{"POST /repos/{owner}/{repo}/hooks/{hook_id}/pings", "repository_hooks:write", pingHook},
	{"GET /app/hook/config", "app", getAppHook},
	{"PATCH /app/hook/config", "app", updateAppHook},
}

// AddHook makes a repository's webhook, as an administrator would in the
// settings; no events means push. GitHub says hello with a ping.
func (s *Server) AddHook(repo, url, secret string, events ...string) (id int64, err error) {
	if len(events) == 0 {
		events = []string{"push"}
	}
	err = s.with(repo, func(r *repository) {
		s.mu.Lock()
		h := &hook{id: s.idLocked(), repo: r, url: url, secret: secret, events: events, active: true, created: s.now(), updated: s.now()}
		s.hooks = append(s.hooks, h)
		s.mu.Unlock()
		id = h.id
		s.ping(h, r.owner)
	})
	return id, err
}

func (h *hook) wants(event string) bool {
	return slices.Contains(h.events, event) || slices.Contains(h.events, "*")
}

func (h *hook) configJSON() object {
	o := object{"url": h.url, "content_type": "json", "insecure_ssl": "0"}
	if h.form {
		o["content_type"] = "form"
	}
	if h.secret != "" {
		o["secret"] = "********"
	}
	return o
}

func (s *Server) hookJSON(h *hook) object {
	u := s.repoURL(h.repo, "hooks", fmt.Sprint(h.id))
	last := object{"code": nil, "status": "unused", "message": nil}
	if n := len(h.deliveries); n > 0 {
		last = object{"code": h.deliveries[n-1].code, "status": "active", "message": h.deliveries[n-1].status}
	}
	return object{
		"id": h.id, "type": "Repository", "name": "web", "active": h.active, "events": h.events, "config": h.configJSON(),
		"url": u, "test_url": u + "/tests", "ping_url": u + "/pings", "deliveries_url": u + "/deliveries",
		"created_at": stamp(h.created), "updated_at": stamp(h.updated), "last_response": last,
	}
}

func (c *call) hook() (*hook, error) {
	id, err := c.number("hook_id")
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hooks {
		if h.id == id && h.repo == c.repo && h.repo != nil {
			return h, nil
		}
	}
	return nil, notFound()
}

func listHooks(c *call) (int, any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []object{}
	for _, h := range c.hooks {
		if h.repo == c.repo {
			out = append(out, c.hookJSON(h))
		}
	}
	return http.StatusOK, page(c, out), nil
}

type hookChange struct {
	Events []string
	Active *bool
	Config *hookConfig
}

type hookConfig struct {
	URL         *string
	ContentType *string `json:"content_type"`
	Secret      *string
}

func (in hookChange) applyLocked(h *hook, now time.Time) error {
	if in.Config != nil {
		if in.Config.URL != nil {
			if u, err := url.Parse(*in.Config.URL); err != nil || u.Host == "" {
				return invalid("Hook", "url", "custom", "url is not a valid URL")
			}
			h.url = *in.Config.URL
		}
		if in.Config.ContentType != nil {
			h.form = *in.Config.ContentType != "json"
		}
		if in.Config.Secret != nil {
			h.secret = *in.Config.Secret
		}
	}
	if in.Events != nil {
		h.events = in.Events
	}
	if in.Active != nil {
		h.active = *in.Active
	}
	h.updated = now
	return nil
}

func createHook(c *call) (int, any, error) {
	var in hookChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if in.Config == nil || in.Config.URL == nil {
		return 0, nil, invalid("Hook", "url", "missing_field", "")
	}
	id := c.id()
	c.mu.Lock()
	// GitHub's default content type is the form.
	h := &hook{id: id, repo: c.repo, events: []string{"push"}, active: true, form: true, created: c.now()}
	err := in.applyLocked(h, c.now())
	for _, other := range c.hooks {
		if other.repo == c.repo && other.url == h.url && slices.Equal(other.events, h.events) {
			err = invalid("Hook", "", "custom", "Hook already exists on this repository")
		}
	}
	if err != nil {
		c.mu.Unlock()
		return 0, nil, err
	}
	c.hooks = append(c.hooks, h)
	o := c.hookJSON(h)
	c.mu.Unlock()
	c.ping(h, c.who.account)
	return http.StatusCreated, o, nil
}

func getHook(c *call) (int, any, error) {
	h, err := c.hook()
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return http.StatusOK, c.hookJSON(h), nil
}

func updateHook(c *call) (int, any, error) {
	h, err := c.hook()
	if err != nil {
		return 0, nil, err
	}
	var in hookChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err = in.applyLocked(h, c.now())
	return http.StatusOK, c.hookJSON(h), err
}

func deleteHook(c *call) (int, any, error) {
	h, err := c.hook()
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = slices.DeleteFunc(c.hooks, func(other *hook) bool { return other == h })
	return http.StatusNoContent, nil, nil
}

func pingHook(c *call) (int, any, error) {
	h, err := c.hook()
	if err != nil {
		return 0, nil, err
	}
	c.ping(h, c.who.account)
	return http.StatusNoContent, nil, nil
}

// ping needs the repository's lock, as all events do.
func (s *Server) ping(h *hook, who *account) {
	payload := object{"zen": "Design for failure.", "hook_id": h.id, "repository": s.repositoryJSON(h.repo), "sender": s.userJSON(who)}
	s.mu.Lock()
	payload["hook"] = s.hookJSON(h)
	s.mu.Unlock()
	s.send(h, "ping", payload)
}

func getAppHook(c *call) (int, any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return http.StatusOK, c.who.app.hook.configJSON(), nil
}

func updateAppHook(c *call) (int, any, error) {
	var in hookChange
	in.Config = &hookConfig{}
	if err := c.read(in.Config); err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.who.app.hook
	err := in.applyLocked(h, c.now())
	h.active = h.url != ""
	return http.StatusOK, h.configJSON(), err
}
