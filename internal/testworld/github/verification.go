package github

import (
	"context"
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// valid is what GitHub says of a signature that it knows.
const valid = "valid"

// SetVerification says what GitHub makes of the signature that a commit bears:
// "valid" if its key is known to belong to the committer, or another reason of
// GitHub's. Without it a signature is of an "unknown_key". What GitHub signs
// itself (merges, squashes, an App's commits) is valid anyway.
func (s *Server) SetVerification(repo, sha, reason string) error {
	return s.with(repo, func(r *repository) { r.verifications[sha] = reason })
}

// verificationJSON is GitHub's judgement of a commit's signature. A commit whose
// signatures were not read shows only what is known without it.
func (r *repository) verificationJSON(c *commit) object {
	reason := r.verifications[c.sha]
	switch {
	case reason != "":
	case c.signature != "":
		reason = "unknown_key"
	default:
		reason = "unsigned"
	}
	o := object{"verified": reason == valid, "reason": reason, "signature": orNull(c.signature), "payload": orNull(c.payload), "verified_at": nil}
	if reason == valid {
		o["verified_at"] = stamp(c.committer.when)
		if c.signature == "" {
			o["signature"], o["payload"] = "signed by GitHub's key in the real world", ""
		}
	}
	return o
}

// signedCommit reads one commit with its signature.
func (r *repository) signedCommit(ctx context.Context, revision string) (*commit, error) {
	c, err := r.commit(ctx, revision)
	if err != nil {
		return nil, err
	}
	return c, r.readSignatures(ctx, c)
}

// readSignatures reads the signatures that commits bear, of whichever kind.
func (r *repository) readSignatures(ctx context.Context, list ...*commit) error {
	var ids strings.Builder
	for _, c := range list {
		ids.WriteString(c.sha + "\n")
	}
	if ids.Len() == 0 {
		return nil
	}
	out, err := r.git.Do(ctx, git.Command{Args: []string{"cat-file", "--batch=%(objectname) %(objectsize)"}, Stdin: strings.NewReader(ids.String())})
	if err != nil {
		return err
	}
	for _, c := range list {
		head, rest, ok := strings.Cut(out, "\n")
		var size int
		if _, err := fmt.Sscanf(head, c.sha+" %d", &size); err != nil || !ok || len(rest) <= size {
			return fmt.Errorf("read the signature of %s: git said %q", c.sha, head)
		}
		c.signature, c.payload = splitSignature(rest[:size])
		out = rest[size+1:]
	}
	return nil
}

// splitSignature takes the header gpgsig, which holds signatures of all kinds,
// out of a commit. Its further lines are indented by a space.
func splitSignature(raw string) (signature, payload string) {
	var signed, sig strings.Builder
	headers, in := true, false
	for line := range strings.Lines(raw) {
		switch {
		case headers && strings.HasPrefix(line, "gpgsig "):
			in = true
			sig.WriteString(strings.TrimPrefix(line, "gpgsig "))
			continue
		case in && strings.HasPrefix(line, " "):
			sig.WriteString(line[1:])
			continue
		case line == "\n":
			headers = false
		}
		in = false
		signed.WriteString(line)
	}
	if sig.Len() == 0 {
		return "", ""
	}
	return strings.TrimSuffix(sig.String(), "\n"), signed.String()
}
