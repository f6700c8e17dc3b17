package gogit

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/pawl-dev/pawl/gitsync"
)

// commit reads a commit that was received.
func (o *objects) commit(id plumbing.Hash, limits Limits) (*object.Commit, error) {
	raw := o.Commits[id]
	if raw == nil {
		return nil, fmt.Errorf("commit %s was not sent: %w", id, plumbing.ErrObjectNotFound)
	}
	if raw.Size() > limits.Commit {
		return nil, tooManyBytes(limits.Commit, "one commit object")
	}
	var c object.Commit
	if err := c.Decode(raw); err != nil {
		return nil, fmt.Errorf("commit %s: %w", id, err)
	}
	return &c, nil
}

// info is what a commit says, with what it takes to check its signature.
func info(c *object.Commit) (gitsync.CommitInfo, error) {
	about := gitsync.CommitInfo{
		Commit:    gitsync.Commit(c.Hash.String()),
		Author:    person(c.Author),
		Committer: person(c.Committer),
		Authored:  c.Author.When,
		Committed: c.Committer.When,
		Subject:   line(c.Message),
		Words:     words(c.Message),
	}
	for _, p := range c.ParentHashes {
		about.Parents = append(about.Parents, gitsync.Commit(p.String()))
	}
	if c.PGPSignature == "" {
		return about, nil
	}
	payload := &plumbing.MemoryObject{}
	if err := c.EncodeWithoutSignature(payload); err != nil {
		return gitsync.CommitInfo{}, fmt.Errorf("commit %s: %w", c.Hash, err)
	}
	// Where the signature stands is not signed. Moved up, it hides from git what
	// comes after it: the parents, say. Then what was signed is not what is read.
	var signed object.Commit
	if err := signed.Decode(payload); err != nil {
		return gitsync.CommitInfo{}, fmt.Errorf("commit %s: what is signed: %w", c.Hash, err)
	}
	if signed.TreeHash != c.TreeHash || !slices.Equal(signed.ParentHashes, c.ParentHashes) || person(signed.Author) != about.Author || person(signed.Committer) != about.Committer || signed.Message != c.Message {
		return gitsync.CommitInfo{}, fmt.Errorf("commit %s: its signature stands where it changes what the commit says", c.Hash)
	}
	reader, err := payload.Reader()
	if err != nil {
		return gitsync.CommitInfo{}, err
	}
	defer reader.Close()
	if about.Signature.Payload, err = io.ReadAll(reader); err != nil {
		return gitsync.CommitInfo{}, err
	}
	about.Signature.Text = c.PGPSignature
	return about, nil
}

func person(s object.Signature) string { return line(fmt.Sprintf("%s <%s>", s.Name, s.Email)) }

// maxWords bounds what one message may say.
const maxWords = 100

var word = regexp.MustCompile(`^(?i)pawl-([a-z-]{1,40})[ \t]*:(.*)$`)

// words are the lines of a message that begin with "Pawl-…:", as git writes
// trailers. They count wherever they stand: a squash merge puts other text behind.
func words(message string) []gitsync.Word {
	var said []gitsync.Word
	for text := range strings.Lines(message) {
		if m := word.FindStringSubmatch(line(text)); m != nil && len(said) < maxWords {
			said = append(said, gitsync.Word{Key: strings.ToLower(m[1]), Value: strings.TrimSpace(m[2])})
		}
	}
	return said
}

// line is the first line of a text, of a length that can be shown.
func line(s string) string {
	const most = 300
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
