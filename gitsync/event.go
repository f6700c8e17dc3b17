// Package gitsync knows what happened in the config repo and exactly which
// commit is meant: events, revisions and their trees. Git itself is in gogit,
// GitHub's webhooks are in webhook.
package gitsync

import "time"

// Event says that something may have moved. It is only a hint: what counts is
// what is then read from git, GitHub or the registry.
type Event struct {
	Repository string // "acme/shop"
	Branch     string // "main"; empty where the sender did not say
	Commit     Commit // the new head by the sender's word; may be empty
	Subject    Subject
	Origin     Origin
	At         time.Time
}

// Subject tells what may have moved.
type Subject string

const (
	AboutBranch      Subject = "branch"       // the watched branch
	AboutPullRequest Subject = "pull request" // one that goes into the watched branch
	AboutChecks      Subject = "checks"       // a check on some commit
	AboutPackage     Subject = "package"      // an image was pushed to a registry
)

// Origin tells how an event reached the agent.
type Origin string

const (
	FromWebhook Origin = "webhook"
	FromPoll    Origin = "poll"
	FromPerson  Origin = "manual"
)
