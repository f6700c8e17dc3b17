package github

import (
	"maps"
	"sync"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/promote"
)

// known is what need not be asked again: commits never change. It is lost with
// the process, and all of it can be found out anew.
type known struct {
	mu    sync.Mutex
	trees map[gitsync.Commit]string
	// heads are the commits that the agent made, or found to be its own.
	heads map[gitsync.Commit]head
	// proposals are those of this process, by pull request: the only ones that
	// it merges.
	proposals map[int]proposed
}

type head struct {
	content content // what its pull request changes; nil if not known
	base    gitsync.Commit
}

type proposed struct {
	content content
	branch  string
	base    string
	message string // of its commit
	// approvals is how many are needed before it is merged.
	approvals int
}

// knownKept bounds memory. Whatever falls out is asked again.
const knownKept = 2_000

func newKnown() *known {
	k := &known{}
	k.forget()
	return k
}

func (k *known) forget() {
	k.trees, k.heads, k.proposals = map[gitsync.Commit]string{}, map[gitsync.Commit]head{}, map[int]proposed{}
}

func (k *known) bound() {
	if len(k.trees) > knownKept || len(k.heads) > knownKept || len(k.proposals) > knownKept {
		k.forget()
	}
}

func (k *known) tree(c gitsync.Commit) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	tree, ok := k.trees[c]
	return tree, ok
}

func (k *known) setTree(c gitsync.Commit, tree string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bound()
	k.trees[c] = tree
}

func (k *known) isMade(c gitsync.Commit) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.heads[c]
	return ok
}

func (k *known) made(c gitsync.Commit, what content, base gitsync.Commit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bound()
	k.heads[c] = head{what, base}
}

// head returns what is known of a commit of the agent's.
func (k *known) head(c gitsync.Commit) head {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.heads[c]
}

func (k *known) propose(number int, p promote.Proposal, what content) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.bound()
	k.proposals[number] = proposed{content: maps.Clone(what), branch: p.Branch, base: p.BaseBranch, message: p.CommitMessage(), approvals: needed(p)}
}

func (k *known) proposed(number int) (proposed, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.proposals[number]
	return p, ok
}

func (k *known) withdraw(number int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.proposals, number)
}
