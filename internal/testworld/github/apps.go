package github

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// App is a GitHub App to be made.
type App struct {
	Name        string            // its slug as well; empty means "pawl"
	Permissions map[string]string // "checks": "write"
	Events      []string
	// WebhookURL and WebhookSecret may be set later, by SetAppHook.
	WebhookURL, WebhookSecret string
	// Repositories it is installed on; nil means all.
	Repositories []string
}

// Installed is an App with what its owner has to configure.
type Installed struct {
	ID, InstallationID int64
	PrivateKey         []byte // PEM
	Slug               string
	BotLogin           string
}

type app struct {
	id, installation int64
	slug             string
	owner            *account
	bot              *account
	key              *rsa.PublicKey
	permissions      map[string]string
	events           []string
	only             map[string]bool
	hook             *hook
	created          time.Time
}

func (a *app) sees(r *repository) bool { return a.only == nil || a.only[r.git.Name] }

// appKey is one for the process: making it takes longer than a test.
var appKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// AddApp makes an App, installed once, on all repositories or those named.
func (s *Server) AddApp(a App) (Installed, error) {
	key, err := appKey()
	if err != nil {
		return Installed{}, fmt.Errorf("make the App's key: %w", err)
	}
	if a.Name == "" {
		a.Name = "pawl"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := &app{
		id: s.idLocked(), installation: s.idLocked(), slug: a.Name, owner: s.accountLocked("pawl-owner", "User"),
		bot: s.accountLocked(a.Name+"[bot]", "Bot"), key: &key.PublicKey,
		permissions: maps.Clone(a.Permissions), events: a.Events, created: s.now(),
	}
	if made.permissions == nil {
		made.permissions = map[string]string{}
	}
	made.permissions["metadata"] = "read"
	if a.Repositories != nil {
		made.only = map[string]bool{}
		for _, name := range a.Repositories {
			made.only[name] = true
		}
	}
	made.hook = &hook{id: s.idLocked(), app: made, url: a.WebhookURL, secret: a.WebhookSecret, events: a.Events, active: a.WebhookURL != "", created: s.now()}
	s.hooks = append(s.hooks, made.hook)
	s.apps[made.id] = made
	encoded := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return Installed{ID: made.id, InstallationID: made.installation, PrivateKey: encoded, Slug: a.Name, BotLogin: made.bot.login}, nil
}

// SetAppHook tells an App where its webhooks go.
func (s *Server) SetAppHook(appID int64, url, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.apps[appID]; a != nil {
		a.hook.url, a.hook.secret, a.hook.active = url, secret, url != ""
	}
}

// appOf checks an App's JWT: RS256 by its key, at most ten minutes long.
// The times are the machine's: the client that signs knows no other clock.
func (s *Server) appOf(token string) *actor {
	refused := func(format string, args ...any) *actor {
		return &actor{kind: "none", err: refuse(http.StatusUnauthorized, format, args...)}
	}
	claims := jwt.MapClaims{}
	var found *app
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation()).
		ParseWithClaims(token, claims, func(*jwt.Token) (any, error) {
			id, err := strconv.ParseInt(fmt.Sprint(claims["iss"]), 10, 64)
			if number, ok := claims["iss"].(float64); ok {
				id, err = int64(number), nil
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if found = s.apps[id]; err != nil || found == nil {
				return nil, fmt.Errorf("no App has the issuer %v", claims["iss"])
			}
			return found.key, nil
		})
	if err != nil {
		return refused("A JSON web token could not be decoded")
	}
	issued, _ := claims["iat"].(float64)
	expires, _ := claims["exp"].(float64)
	now := float64(time.Now().Unix())
	switch {
	case issued == 0 || issued > now+60:
		return refused("'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	case expires <= now:
		return refused("'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	case expires > now+600+60:
		return refused("'Expiration time' claim ('exp') is too far in the future")
	}
	return &actor{kind: "app", app: found}
}

var appRoutes = []route{
	{"GET /app", "app", getApp},
	{"GET /app/installations", "app", listInstallations},
	{"GET /app/installations/{installation_id}", "app", getInstallation},
	{"POST /app/installations/{installation_id}/access_tokens", "app", createToken},
	{"GET /repos/{owner}/{repo}/installation", "", getRepoInstallation},
	{"GET /installation/repositories", "installation", listInstalledRepositories},
	{"DELETE /installation/token", "installation", revokeOwnToken},
	{"GET /rate_limit", "", rateLimit},
	{"GET /user", "token", getUser},
	{"GET /users/{username}", "", getAccount},
}

func (s *Server) appJSON(a *app) object {
	return object{
		"id": a.id, "slug": a.slug, "node_id": nodeID("A", a.id), "owner": s.userJSON(a.owner), "name": a.slug,
		"description": "", "external_url": s.url, "html_url": s.url + "/apps/" + a.slug, "created_at": stamp(a.created),
		"updated_at": stamp(a.created), "permissions": a.permissions, "events": notNull(a.events),
	}
}

func (s *Server) installationJSON(a *app) object {
	selection := "all"
	if a.only != nil {
		selection = "selected"
	}
	url := s.apiURL("app/installations", fmt.Sprint(a.installation))
	return object{
		"id": a.installation, "account": s.userJSON(a.owner), "repository_selection": selection,
		"access_tokens_url": url + "/access_tokens", "repositories_url": s.apiURL("installation/repositories"),
		"html_url": s.url + "/settings/installations/" + fmt.Sprint(a.installation), "app_id": a.id, "app_slug": a.slug,
		"target_id": a.owner.id, "target_type": a.owner.kind, "permissions": a.permissions, "events": notNull(a.events),
		"created_at": stamp(a.created), "updated_at": stamp(a.created), "single_file_name": nil,
		"suspended_by": nil, "suspended_at": nil,
	}
}

func notNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func getApp(c *call) (int, any, error) { return http.StatusOK, c.appJSON(c.who.app), nil }

func listInstallations(c *call) (int, any, error) {
	return http.StatusOK, page(c, []any{c.installationJSON(c.who.app)}), nil
}

func (c *call) ownInstallation() error {
	id, err := c.number("installation_id")
	if err == nil && id != c.who.app.installation {
		err = notFound()
	}
	return err
}

func getInstallation(c *call) (int, any, error) {
	if err := c.ownInstallation(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.installationJSON(c.who.app), nil
}

func getRepoInstallation(c *call) (int, any, error) {
	if c.who.kind != "app" {
		return 0, nil, refuse(http.StatusUnauthorized, "A JSON web token could not be decoded")
	}
	if !c.who.app.sees(c.repo) {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.installationJSON(c.who.app), nil
}

// createToken makes an installation token, valid an hour and opaque.
func createToken(c *call) (int, any, error) {
	if err := c.ownInstallation(); err != nil {
		return 0, nil, err
	}
	var in struct {
		Repositories  []string
		RepositoryIDs []int64 `json:"repository_ids"`
		Permissions   map[string]string
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	a := c.who.app
	token := &actor{kind: "installation", account: a.bot, app: a, permissions: a.permissions, expires: c.now().Add(time.Hour)}
	if in.Permissions != nil {
		for permission, level := range in.Permissions {
			if !grants(a.permissions, permission, level) {
				return 0, nil, refuse(http.StatusUnprocessableEntity, "The permissions requested are not granted to this installation.")
			}
		}
		token.permissions = in.Permissions
		token.permissions["metadata"] = "read"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(in.Repositories)+len(in.RepositoryIDs) > 0 {
		token.only = map[string]bool{}
		for _, r := range c.repositories {
			for _, name := range in.Repositories {
				if strings.HasSuffix(r.git.Name, "/"+name) && a.sees(r) {
					token.only[r.git.Name] = true
				}
			}
			for _, id := range in.RepositoryIDs {
				if r.id == id && a.sees(r) {
					token.only[r.git.Name] = true
				}
			}
		}
		if len(token.only) < len(in.Repositories)+len(in.RepositoryIDs) {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "There is at least one repository that does not exist or is not accessible to the parent installation.")
		}
	}
	selection := "all"
	if token.only != nil || a.only != nil {
		selection = "selected"
	}
	// The shape of 2026: long, with dots, to be treated as opaque.
	secret := c.secretLocked(fmt.Sprintf("ghs_%d_", a.id), 120) + "." + c.secretLocked("", 240) + "." + c.secretLocked("", 86)
	c.tokens[secret] = token
	return http.StatusCreated, object{
		"token": secret, "expires_at": stamp(token.expires), "permissions": token.permissions, "repository_selection": selection,
	}, nil
}

func listInstalledRepositories(c *call) (int, any, error) {
	c.mu.Lock()
	var seen []*repository
	for _, r := range c.repositories {
		if c.who.app.sees(r) && (c.who.only == nil || c.who.only[r.git.Name]) {
			seen = append(seen, r)
		}
	}
	c.mu.Unlock()
	out := []any{}
	for _, r := range sortedByID(seen) {
		r.git.Lock()
		out = append(out, c.repositoryJSON(r))
		r.git.Unlock()
	}
	return http.StatusOK, object{"total_count": len(out), "repository_selection": "all", "repositories": page(c, out)}, nil
}

func revokeOwnToken(c *call) (int, any, error) {
	_, token, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	c.RevokeToken(token)
	return http.StatusNoContent, nil, nil
}

func getAccount(c *call) (int, any, error) {
	c.mu.Lock()
	a := c.accounts[strings.ToLower(c.path("username"))]
	c.mu.Unlock()
	if a == nil {
		return 0, nil, notFound()
	}
	return http.StatusOK, c.profileJSON(a), nil
}
