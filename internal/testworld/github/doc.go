// Package github is a stand-in for GitHub, for tests, the demo and `make
// world`. The bare repositories of testworld/git are its only truth for
// commits, refs, trees and blobs; in memory it keeps what git has no place for:
// pull requests, checks, statuses, reviews, labels, comments, hooks.
//
// Whatever moves a ref (the API, a merge, a git push) goes through one state
// machine in refchange.go: push webhooks, pull requests that follow their head,
// mergeability computed again. Every request, answer and webhook is checked
// against GitHub's own description by the package contract; what breaks it is
// collected in Violations.
//
// Where GitHub's behaviour is not documented the stand-in takes the stricter of
// two guesses, and says so at the place.
package github
