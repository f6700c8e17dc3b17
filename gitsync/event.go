// Package gitsync knows what happened in the config repo and exactly which
// commit is meant: events, revisions and their trees. Git itself is in gogit,
// GitHub's webhooks are in webhook.
package gitsync

import "time"

// Event says that the config repo may have moved. It is only a hint: what
// counts is the commit that is then fetched.
type Event struct {
	Repository string // "acme/shop"
	Branch     string // "main"
	Commit     Commit // the new head by the sender's word; may be empty
	Origin     Origin
	At         time.Time
}

// Origin tells how an event reached the agent.
type Origin string

const (
	FromWebhook Origin = "webhook"
	FromPoll    Origin = "poll"
	FromPerson  Origin = "manual"
)
