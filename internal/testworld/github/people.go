package github

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// Client is a client with anybody's token, as a program of theirs would have.
func (s *Server) Client(token string) (*gogithub.Client, error) {
	return s.client(http.DefaultClient, token)
}

func (s *Server) client(transport *http.Client, token string) (*gogithub.Client, error) {
	client, err := gogithub.NewClient(transport).WithEnterpriseURLs(s.url, s.url)
	if err == nil && token != "" {
		client = client.WithAuthToken(token)
	}
	return client, err
}

// InstallationClient is a client of an App's installation, which fetches and
// renews its token by the App's key.
func (s *Server) InstallationClient(app Installed) (*gogithub.Client, error) {
	transport, err := ghinstallation.New(http.DefaultTransport, app.ID, app.InstallationID, app.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("make a client of the App %s: %w", app.Slug, err)
	}
	transport.BaseURL = s.url + "/api/v3"
	return s.client(&http.Client{Transport: transport}, "")
}

// Person is somebody with an account, acting through the API as the web page
// would. Their requests are in the log under their login.
type Person struct {
	Login, Token string
	server       *Server
	api          *gogithub.Client
}

// Person makes an account (or another token of it) with write access.
func (s *Server) Person(login string) (*Person, error) {
	token := s.AddUser(login)
	api, err := s.Client(token)
	if err != nil {
		return nil, fmt.Errorf("make a client for %s: %w", login, err)
	}
	return &Person{login, token, s, api}, nil
}

// API is the person's client, for what has no method here.
func (p *Person) API() *gogithub.Client { return p.api }

var repoName = regexp.MustCompile(`^([^/]+)/([^/]+)$`)

func split(repo string) (owner, name string) {
	if m := repoName.FindStringSubmatch(repo); m != nil {
		return m[1], m[2]
	}
	return "", repo
}

// OpenPull opens a pull request.
func (p *Person) OpenPull(ctx context.Context, repo, head, base, title, body string) (number int, err error) {
	owner, name := split(repo)
	made, _, err := p.api.PullRequests.Create(ctx, owner, name, &gogithub.NewPullRequest{Title: &title, Head: &head, Base: &base, Body: &body})
	if err != nil {
		return 0, fmt.Errorf("%s opens a pull request from %s in %s: %w", p.Login, head, repo, err)
	}
	return made.GetNumber(), nil
}

// Merge merges a pull request at the head it has now. Method is merge, squash
// or rebase; empty means merge.
func (p *Person) Merge(ctx context.Context, repo string, number int, method string) (sha string, err error) {
	owner, name := split(repo)
	if method == "" {
		method = "merge"
	}
	pull, _, err := p.api.PullRequests.Get(ctx, owner, name, number)
	if err != nil {
		return "", fmt.Errorf("%s reads #%d of %s: %w", p.Login, number, repo, err)
	}
	merged, _, err := p.api.PullRequests.Merge(ctx, owner, name, number, "", &gogithub.PullRequestOptions{SHA: pull.GetHead().GetSHA(), MergeMethod: method})
	if err != nil {
		return "", fmt.Errorf("%s merges #%d of %s: %w", p.Login, number, repo, err)
	}
	return merged.GetSHA(), nil
}

// Approve approves a pull request's head.
func (p *Person) Approve(ctx context.Context, repo string, number int) error {
	return p.review(ctx, repo, number, "APPROVE", "")
}

// Comment says something of a pull request without approving or objecting.
func (p *Person) Comment(ctx context.Context, repo string, number int, body string) error {
	return p.review(ctx, repo, number, "COMMENT", body)
}

// RequestChanges objects to a pull request.
func (p *Person) RequestChanges(ctx context.Context, repo string, number int, why string) error {
	return p.review(ctx, repo, number, "REQUEST_CHANGES", why)
}

// Dismiss takes back what somebody said of a pull request last.
func (p *Person) Dismiss(ctx context.Context, repo string, number int, login, why string) error {
	owner, name := split(repo)
	reviews, _, err := p.api.PullRequests.ListReviews(ctx, owner, name, number, &gogithub.ListOptions{PerPage: 100})
	if err != nil {
		return fmt.Errorf("%s reads the reviews of #%d of %s: %w", p.Login, number, repo, err)
	}
	for _, one := range slices.Backward(reviews) {
		if one.GetUser().GetLogin() != login || one.GetState() != "APPROVED" && one.GetState() != "CHANGES_REQUESTED" {
			continue
		}
		if _, _, err := p.api.PullRequests.DismissReview(ctx, owner, name, number, one.GetID(), &gogithub.PullRequestReviewDismissalRequest{Message: &why}); err != nil {
			return fmt.Errorf("%s dismisses the review of #%d of %s by %s: %w", p.Login, number, repo, login, err)
		}
		return nil
	}
	return fmt.Errorf("%s dismisses the review of #%d of %s by %s: there is none", p.Login, number, repo, login)
}

func (p *Person) review(ctx context.Context, repo string, number int, event, body string) error {
	owner, name := split(repo)
	review := &gogithub.PullRequestReviewRequest{Event: &event}
	if body != "" {
		review.Body = &body
	}
	if _, _, err := p.api.PullRequests.CreateReview(ctx, owner, name, number, review); err != nil {
		return fmt.Errorf("%s reviews #%d of %s: %w", p.Login, number, repo, err)
	}
	return nil
}

// Close closes a pull request without merging it.
func (p *Person) Close(ctx context.Context, repo string, number int) error {
	owner, name := split(repo)
	closed := "closed"
	if _, _, err := p.api.PullRequests.Edit(ctx, owner, name, number, &gogithub.PullRequest{State: &closed}); err != nil {
		return fmt.Errorf("%s closes #%d of %s: %w", p.Login, number, repo, err)
	}
	return nil
}

// Push commits to a branch and moves it, past any protection: a person who was
// there before the rule.
func (p *Person) Push(ctx context.Context, repo string, c git.Commit) (sha string, err error) {
	bare, ok := p.server.git.Repository(repo)
	if !ok {
		return "", fmt.Errorf("%s pushes to %s: there is no such repository", p.Login, repo)
	}
	c.Author = p.Login
	return bare.Commit(ctx, c)
}

// CloneURL is a repository's URL with the person's token in it, for git.
func (p *Person) CloneURL(repo string) string {
	const scheme = "http://"
	return scheme + p.Login + ":" + p.Token + "@" + p.server.url[len(scheme):] + "/" + repo + ".git"
}

// Rerequest presses a check's "Re-run": its App gets check_run rerequested.
func (s *Server) Rerequest(ctx context.Context, repo string, checkRunID int64, by string) error {
	return s.press(ctx, repo, checkRunID, by, "rerequested", nil)
}

// PressAction presses a button that a completed check offers: its App gets
// check_run requested_action.
func (s *Server) PressAction(ctx context.Context, repo string, checkRunID int64, by, identifier string) error {
	return s.press(ctx, repo, checkRunID, by, "requested_action", object{"requested_action": object{"identifier": identifier}})
}

func (s *Server) press(ctx context.Context, repo string, id int64, by, action string, extra object) error {
	who, found := s.accountOf(by), false
	var failed error
	err := s.with(repo, func(r *repository) {
		for _, run := range r.runs {
			if run.id == id {
				found = true
				failed = s.emitRun(ctx, r, run, who, action, extra)
			}
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("press a button of check run %d: %s has no such run", id, repo)
	}
	if err == nil {
		err = failed
	}
	return err
}

// Delivered is one webhook that GitHub sent, or tried to.
type Delivered struct {
	GUID, Event, Action, URL string
	Payload                  []byte
	Redelivery               bool
	Code                     int // 0 when nobody answered
	At                       time.Time
}

// Delivered are all webhooks so far, by hook, the oldest of each first.
func (s *Server) Delivered() []Delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Delivered
	for _, h := range s.hooks {
		for _, d := range h.deliveries {
			out = append(out, Delivered{d.guid, d.event, d.action, h.url, d.payload, d.redelivery, d.code, d.at})
		}
	}
	return out
}
