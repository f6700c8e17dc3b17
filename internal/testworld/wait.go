package testworld

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/agent"
)

// patience bounds every wait for something that must happen.
const patience = 60 * time.Second

// Until looks until done is true. lacking says what the last look missed, for
// the message when patience ends.
func Until(ctx context.Context, what string, look func(context.Context) (done bool, lacking string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := "nothing"
	for {
		done, lacking, err := look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("wait for %s: %w", what, err)
		case done:
			return nil
		case err == nil && lacking != "": // an error now is that patience ended
			last = lacking
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s in vain (%w); last seen: %s", what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// Status asks the shop's agent for its state.
func (s *Shop) Status(ctx context.Context) (agent.Status, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Internal+"/status", nil)
	if err != nil {
		return agent.Status{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return agent.Status{}, err
	}
	defer response.Body.Close()
	var status agent.Status
	return status, json.NewDecoder(response.Body).Decode(&status)
}

// Client is GitHub as the shop's person sees it.
func (s *Shop) Client() *github.Client {
	client := github.NewClient(&http.Client{Transport: s.reading}).WithAuthToken(s.Person)
	client.BaseURL = client.BaseURL.ResolveReference(&url.URL{Scheme: "http", Host: strings.TrimPrefix(s.World.GitHub.URL(), "http://"), Path: "/api/v3/"})
	return client
}

// Check waits until the check of an environment on a commit is over, and
// returns it.
func (s *Shop) Check(ctx context.Context, commit, environment string) (*github.CheckRun, error) {
	name := "pawl / " + environment
	owner, repo := s.ownerAndName()
	var found *github.CheckRun
	err := Until(ctx, fmt.Sprintf("the check %q on %.7s", name, commit), func(ctx context.Context) (bool, string, error) {
		list, _, err := s.Client().Checks.ListCheckRunsForRef(ctx, owner, repo, commit, &github.ListCheckRunsOptions{CheckName: &name})
		if err != nil || len(list.CheckRuns) == 0 {
			return false, "no such check", err
		}
		found = list.CheckRuns[0]
		return found.GetStatus() == "completed", found.GetStatus() + ": " + found.GetOutput().GetTitle(), nil
	})
	return found, err
}

// Green waits until an environment's check on a commit is a success; another
// conclusion is an error with what the check says.
func (s *Shop) Green(ctx context.Context, commit, environment string) error {
	run, err := s.Check(ctx, commit, environment)
	if err != nil {
		return err
	}
	if run.GetConclusion() != "success" {
		return fmt.Errorf("the check %q on %.7s says %s: %s\n%s", run.GetName(), commit, run.GetConclusion(), run.GetOutput().GetTitle(), run.GetOutput().GetSummary())
	}
	return nil
}

// Pull waits for a pull request, open or not, from the promotion branch of an
// application into an environment.
func (s *Shop) Pull(ctx context.Context, environment, application string) (*github.PullRequest, error) {
	owner, repo := s.ownerAndName()
	head := owner + ":pawl/promote/" + environment + "/" + application
	var found *github.PullRequest
	err := Until(ctx, "a pull request from "+head, func(ctx context.Context) (bool, string, error) {
		pulls, _, err := s.Client().PullRequests.List(ctx, owner, repo, &github.PullRequestListOptions{State: "all", Head: head})
		if err != nil || len(pulls) == 0 {
			return false, "none", err
		}
		found = pulls[0]
		return true, "", nil
	})
	return found, err
}

// Merge merges a pull request's head as the shop's person.
func (s *Shop) Merge(ctx context.Context, pull *github.PullRequest) error {
	owner, repo := s.ownerAndName()
	_, _, err := s.Client().PullRequests.Merge(ctx, owner, repo, pull.GetNumber(), "", &github.PullRequestOptions{SHA: pull.GetHead().GetSHA()})
	return err
}
