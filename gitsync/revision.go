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
	Tree      Tree
	// Rewritten says that the head which was read before this one is not among
	// its ancestors: somebody force-pushed. Where that cannot be told, because
	// the change was too large to be fetched with its history, it is false.
	Rewritten bool
}
