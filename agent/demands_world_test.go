package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/testworld/trees"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/promote"
)

// worldDemands is what the agent of a world demands, and what there is to meet it.
type worldDemands struct {
	baseline *demands.Baseline
	// unreadable is why the baseline cannot be read.
	unreadable error
	// verified are the commits that GitHub calls so, and approved how many people
	// approved the pull request by which a commit came; none: it was pushed.
	verified map[gitsync.Commit]bool
	approved map[gitsync.Commit]int
	asked    []string // of GitHub: "pull request 2"
}

func (w *world) demanded() (*demands.Baseline, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.baseline, w.unreadable
}

// revision is the head, made on the one before unless the branch was rewritten.
func (w *world) revision(tree gitsync.Tree) gitsync.Revision {
	id := gitsync.Commit(fmt.Sprint(w.commits))
	if n := len(w.history); n > 0 && w.history[n-1].Commit == id {
		return w.history[n-1]
	}
	rev := gitsync.Revision{Commit: id, Tree: tree, Words: w.words}
	switch {
	case w.unread != nil:
		return rev
	case w.root != "":
		rev.Parents, w.root = []gitsync.Commit{w.root}, ""
	case w.commits > 1:
		rev.Parents = []gitsync.Commit{gitsync.Commit(fmt.Sprint(w.commits - 1))}
	}
	if !w.broken {
		w.words = nil
		w.history = append(w.history, rev)
	}
	return rev
}

func (w *world) At(_ context.Context, commit gitsync.Commit) (gitsync.Revision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rev := range w.history {
		if rev.Commit == commit {
			return rev, nil
		}
	}
	return gitsync.Revision{}, &gitsync.CommitUnavailable{Repository: "acme/shop", Commit: commit}
}

func (w *world) History(ctx context.Context, head, base gitsync.Commit) (gitsync.Line, error) {
	line := gitsync.Line{}
	for at := head; ; {
		if at == base {
			line.Ancestor = true
			return line, nil
		}
		rev, err := w.At(ctx, at)
		if err != nil {
			return gitsync.Line{}, err
		}
		line.Commits = append(line.Commits, rev.Info())
		if len(rev.Parents) == 0 {
			return line, nil
		}
		at = rev.Parents[0]
	}
}

func (w *world) PullRequest(_ context.Context, _ string, _, commit gitsync.Commit) (*policies.PullRequest, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, "pull request "+string(commit))
	n, ok := w.approved[commit]
	if !ok {
		return nil, nil
	}
	pull := &policies.PullRequest{Number: 7, Author: "ada"}
	for i := range n {
		pull.Approvals = append(pull.Approvals, fmt.Sprintf("person %d", i))
	}
	return pull, nil
}

func (w *world) Verification(_ context.Context, commit gitsync.Commit) (promote.Verification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, "verification "+string(commit))
	if w.verified[commit] {
		return promote.Verification{Verified: true, Reason: "valid", Signer: promote.Account{ID: 1, Login: "ada"}}, nil
	}
	return promote.Verification{Reason: "unsigned"}, nil
}

// wordPolicy denies objects in which a word stands. The world's policies are
// such words, so that their language is no matter here.
type wordPolicy struct{ name, word string }

func (p wordPolicy) Name() string         { return p.name }
func (p wordPolicy) ID() string           { return p.word }
func (p wordPolicy) Reads(...string) bool { return false }

func (w *world) Compile(name string, tree fs.FS, folder string, _ map[string]any) (demands.Policy, error) {
	word, err := fs.ReadFile(tree, folder+"/deny.rego")
	if err != nil {
		return nil, err
	}
	return wordPolicy{name, strings.TrimSpace(string(word))}, nil
}

func (w *world) Shipped(name, shipped string, _ map[string]any) (demands.Policy, error) {
	return wordPolicy{name, shipped}, nil
}

func (w *world) Ask(_ context.Context, facts policies.Facts, list []demands.Policy) ([]policies.PolicyResult, error) {
	text, err := json.Marshal(slices.Clone(facts.Release.Objects))
	if err != nil {
		return nil, err
	}
	var results []policies.PolicyResult
	for _, p := range list {
		r := policies.PolicyResult{Policy: p.Name()}
		if word := p.(wordPolicy).word; bytes.Contains(text, []byte(word)) {
			r.Denied = []policies.PolicyMessage{{Rule: "deny", Text: "says " + word}}
		}
		results = append(results, r)
	}
	return results, nil
}

// environmentsTarget is a target as a cluster remembers it, without its overlay.
func environmentsTarget(environment, application string) environments.Target {
	return environments.Target{Environment: environment, Application: application}
}

// revisionOf is some files without a history.
func revisionOf(files map[string]string) gitsync.Revision {
	return gitsync.Revision{Tree: trees.FromMap(files)}
}

// demandsOf is the fingerprint of what a revision demands of dev.
func (w *world) demandsOf(rev gitsync.Revision) string {
	w.t.Helper()
	r, err := demands.ReadRepository(rev)
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := w.baseline.Demand(r, w)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Fingerprint("dev")
}
