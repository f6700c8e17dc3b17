package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/pawl-dev/pawl/gitsync"
)

// payload is what is used of all the kinds of deliveries. It is read with
// structs of our own: go-github 60 knows no registry_package, and cannot read
// what GitHub sends as package for containers.
type payload struct {
	Action     string `json:"action"`
	Repository *struct {
		FullName string `json:"full_name"`
	} `json:"repository"`

	// push
	Ref     string `json:"ref"`
	After   string `json:"after"`
	Deleted bool   `json:"deleted"`

	// pull_request, pull_request_review
	PullRequest *struct {
		Number int `json:"number"`
		Base   struct {
			Ref string `json:"ref"`
		} `json:"base"`
		Head struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`

	CheckRun   *check `json:"check_run"`
	CheckSuite *check `json:"check_suite"`

	// status
	SHA   string `json:"sha"`
	State string `json:"state"`

	Package         *image `json:"package"`
	RegistryPackage *image `json:"registry_package"`
}

type check struct {
	HeadSHA string `json:"head_sha"`
	App     *struct {
		ID int64 `json:"id"`
	} `json:"app"`
}

type image struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Type      string `json:"package_type"`
}

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// interpret decides what a delivery that is genuine means. Without an event
// the text says why it is ignored; an error is a delivery that GitHub would not send.
func (o Options) interpret(kind string, body []byte) (*gitsync.Event, string, error) {
	if kind == "" {
		return nil, "", refuse(http.StatusBadRequest, "X-GitHub-Event is missing")
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, "", refuse(http.StatusBadRequest, "the body is no %s of GitHub's: %v", short(kind), err)
	}
	switch kind {
	case "ping":
		return nil, "pong", nil
	case "registry_package":
		return p.RegistryPackage.published(p)
	case "package":
		return p.Package.published(p)
	case "push", "pull_request", "pull_request_review", "check_run", "check_suite", "status":
	default:
		return nil, fmt.Sprintf("%s is of no interest; it can be left out of the webhook's events", short(kind)), nil
	}
	if p.Repository == nil || p.Repository.FullName == "" {
		return nil, "", refuse(http.StatusBadRequest, "repository.full_name is missing")
	}
	// GitHub's names do not differ by case alone.
	if !strings.EqualFold(p.Repository.FullName, o.Repository) {
		return nil, "not the repository that is watched", nil
	}
	event := &gitsync.Event{Repository: o.Repository, Branch: o.Branch}
	switch kind {
	case "push":
		return o.push(p, event)
	case "pull_request", "pull_request_review":
		return o.pullRequest(p, event)
	case "status":
		event.Subject, event.Branch = gitsync.AboutChecks, ""
		if p.State == "pending" {
			return nil, "the status is pending", nil
		}
		return at(event, p.SHA, "status")
	case "check_run":
		return o.check(p, p.CheckRun, event)
	default:
		return o.check(p, p.CheckSuite, event)
	}
}

func (o Options) push(p payload, event *gitsync.Event) (*gitsync.Event, string, error) {
	event.Subject = gitsync.AboutBranch
	switch {
	case p.Ref == "":
		return nil, "", refuse(http.StatusBadRequest, "ref is missing")
	case p.Ref != "refs/heads/"+o.Branch:
		return nil, "not the branch that is watched", nil
	case p.Deleted:
		return event, "the branch was deleted", nil
	}
	return at(event, p.After, "push")
}

func (o Options) pullRequest(p payload, event *gitsync.Event) (*gitsync.Event, string, error) {
	event.Subject = gitsync.AboutPullRequest
	switch {
	case p.PullRequest == nil || p.PullRequest.Base.Ref == "":
		return nil, "", refuse(http.StatusBadRequest, "pull_request.base.ref is missing")
	case p.PullRequest.Base.Ref != o.Branch:
		return nil, "the pull request does not go into the branch that is watched", nil
	}
	return at(event, p.PullRequest.Head.SHA, "pull request "+strconv.Itoa(p.PullRequest.Number))
}

func (o Options) check(p payload, c *check, event *gitsync.Event) (*gitsync.Event, string, error) {
	event.Subject, event.Branch = gitsync.AboutChecks, ""
	if c == nil {
		return nil, "", refuse(http.StatusBadRequest, "the check is missing")
	}
	switch p.Action {
	case "rerequested", "requested_action": // by a person; only the check's own App hears of it
	case "completed":
		if o.App != 0 && c.App != nil && c.App.ID == o.App {
			return nil, "our own check", nil
		}
	default:
		return nil, "the check is not completed", nil
	}
	return at(event, c.HeadSHA, "check")
}

// published is about an image of any repository: who builds it is not who
// deploys it.
func (i *image) published(p payload) (*gitsync.Event, string, error) {
	switch {
	case i == nil:
		return nil, "", refuse(http.StatusBadRequest, "the package is missing")
	case !strings.EqualFold(i.Type, "container") && !strings.EqualFold(i.Type, "docker"):
		return nil, "the package is no container image", nil
	}
	event := &gitsync.Event{Subject: gitsync.AboutPackage}
	if p.Repository != nil {
		event.Repository = p.Repository.FullName
	}
	return event, "image", nil
}

// at completes an event with the commit that it is about.
func at(event *gitsync.Event, sha, text string) (*gitsync.Event, string, error) {
	if !commitID.MatchString(sha) {
		return nil, "", refuse(http.StatusBadRequest, "the commit id is missing or none")
	}
	event.Commit = gitsync.Commit(sha)
	return event, text, nil
}
