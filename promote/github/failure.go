package github

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// failure turns an error of go-github into one that the agent knows.
// permission is what the request needs: "checks: write".
func failure(doing, permission string, err error) error {
	var limit *limited
	var answered *github.ErrorResponse
	var primary *github.RateLimitError
	var token *ghinstallation.HTTPError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &limit):
		return &promote.RateLimited{Doing: doing, Until: limit.until, Secondary: limit.secondary}
	case errors.As(err, &primary): // by go-github's own count; the transport is there first
		return &promote.RateLimited{Doing: doing, Until: primary.Rate.Reset.Time}
	case errors.As(err, &answered):
		return answerError(doing, permission, answered)
	case errors.As(err, &token) && token.Response != nil:
		_ = token.Response.Body.Close()
		if token.Response.StatusCode >= 500 {
			return &promote.Unavailable{Doing: doing, Err: errors.New("no token for the App: " + token.Response.Status)}
		}
		return &promote.Denied{
			Doing: doing, Status: token.Response.StatusCode,
			Message: "no token for the App; its id, its installation or its private key do not fit together, or it was suspended",
		}
	}
	return &promote.Unavailable{Doing: doing, Err: err}
}

func answerError(doing, permission string, e *github.ErrorResponse) error {
	status, message := e.Response.StatusCode, saidBy(e)
	switch {
	case status >= 500:
		return &promote.Unavailable{Doing: doing, Err: errors.New(e.Response.Status)}
	case status == http.StatusUnauthorized:
		return &promote.Denied{Doing: doing, Status: status, Message: message}
	case status == http.StatusForbidden, status == http.StatusNotFound:
		// Told where a fine-grained permission is missing: "checks=write".
		if needs := e.Response.Header.Get("X-Accepted-GitHub-Permissions"); needs != "" {
			permission = strings.ReplaceAll(needs, "=", ": ")
		}
		return &promote.Denied{Doing: doing, Status: status, Permission: permission, Message: message}
	}
	return &promote.Rejected{Doing: doing, Status: status, Message: message}
}

// saidBy is all that GitHub says about a refusal.
func saidBy(e *github.ErrorResponse) string {
	said := []string{e.Message}
	for _, one := range e.Errors {
		switch {
		case one.Message != "":
			said = append(said, one.Message)
		case one.Field != "" || one.Code != "":
			said = append(said, strings.TrimSpace(one.Field+" "+one.Code))
		}
	}
	return strings.Join(said, "; ")
}

// rejected reports whether GitHub refused with one of the statuses and with
// words in its answer.
func rejected(err error, words string, statuses ...int) bool {
	var r *promote.Rejected
	if !errors.As(err, &r) {
		return false
	}
	for _, s := range statuses {
		if r.Status == s {
			return strings.Contains(strings.ToLower(r.Message), words)
		}
	}
	return false
}

func unavailable(err error) bool {
	var u *promote.Unavailable
	return errors.As(err, &u)
}

// aboutCommit recognises that GitHub does not have a commit.
func aboutCommit(err error, commit gitsync.Commit) error {
	if rejected(err, "no commit found", http.StatusUnprocessableEntity) {
		return &promote.UnknownCommit{Commit: commit}
	}
	return err
}
