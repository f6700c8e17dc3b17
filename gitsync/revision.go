package gitsync

import "time"

// Commit is a full commit id in lower-case hex.
type Commit string

// Short is the commit as people quote it.
func (c Commit) Short() string {
	if len(c) < 7 {
		return string(c)
	}
	return string(c[:7])
}

// Revision is an exact commit and its tree.
type Revision struct {
	Commit    Commit
	Parents   []Commit
	Author    string // "Ada Lovelace <ada@example.org>": text of a stranger, escape it
	Committed time.Time
	Subject   string // first line of the message: text of a stranger, escape it
	Words     []Word
	Signature Signature
	Tree      Tree
}

// Word is a line of a commit's message that speaks to pawl, such as
// "Pawl-Prune: production/web 41". Both parts are text of a stranger.
type Word struct {
	Key   string // in lower case, without "Pawl-": "prune"
	Value string // "production/web 41"
}

// CommitInfo is a commit without its tree.
type CommitInfo struct {
	Commit    Commit
	Parents   []Commit
	Author    string // "Ada Lovelace <ada@example.org>": text of a stranger, escape it
	Committer string // the same of whoever made the commit object
	Authored  time.Time
	Committed time.Time
	Subject   string // first line of the message: text of a stranger, escape it
	Words     []Word
	Signature Signature
}

// Info is the revision without its tree.
func (r Revision) Info() CommitInfo {
	return CommitInfo{
		Commit: r.Commit, Parents: r.Parents, Author: r.Author, Committed: r.Committed,
		Subject: r.Subject, Words: r.Words, Signature: r.Signature,
	}
}

// Line is how a branch came from one commit, the base, to another, the head.
//
// Only what commits say of their parents counts. Their dates are whatever their
// authors wrote.
type Line struct {
	// Ancestor says that the base is the head or, through any parent, one of its
	// ancestors. If not, somebody rewrote the branch.
	Ancestor bool
	// Commits are the head, its first parent, and so on, without the base and
	// without what the base leads to. A commit that came by a merge is not among
	// them: whoever made the merge vouches for it.
	//
	// They are none if the head is the base, and also if the branch was put back
	// to a commit that the base leads to: look at Ancestor first.
	Commits []CommitInfo
}
