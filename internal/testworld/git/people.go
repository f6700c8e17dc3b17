package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Commit is what a person would commit and push.
type Commit struct {
	Branch  string // empty means main; made when it does not exist
	Message string
	Author  string // a login; empty means "dev"
	When    time.Time
	// Write are whole files by path, Delete are paths or folders to remove.
	Write  map[string]string
	Delete []string
	// Links are symbolic links: the paths, and where they lead.
	Links map[string]string
	// Replace empties the tree first, so that Write is all there is.
	Replace bool
	// Merge is a revision that becomes the second parent.
	Merge string
	// Sign returns the armored signature of the commit object that it is given.
	Sign func(payload []byte) (string, error)
	// From starts from another revision than the branch's tip. A branch that
	// exists is then moved as by a force-push.
	From string
}

// Commit makes a commit and moves the branch, as a push would: the observers
// hear of it. It goes around the server's Judge and its faults.
func (r *Repository) Commit(ctx context.Context, c Commit) (sha string, err error) {
	r.Lock()
	defer r.Unlock()
	branch := "refs/heads/" + orElse(c.Branch, "main")
	by := orElse(c.Author, "dev")
	before, err := r.Resolve(ctx, branch)
	if errors.Is(err, ErrUnknown) {
		before = Zero
	} else if err != nil {
		return "", err
	}
	parent := before
	if c.From != "" {
		if parent, err = r.Resolve(ctx, c.From+"^{commit}"); err != nil {
			return "", err
		}
	}
	when := c.When
	if when.IsZero() {
		when = r.server.options.Clock()
	}

	var in bytes.Buffer
	// Its own ref, so that the branch itself moves by MoveRef alone.
	const scratch = "refs/stand-in/commit"
	fmt.Fprintf(&in, "commit %s\nmark :1\n", scratch)
	fmt.Fprintf(&in, "committer %s <%s@users.noreply.github.com> %d +0000\n", by, by, when.Unix())
	message := orElse(c.Message, "Change "+strings.Join(slices.Sorted(maps.Keys(c.Write)), ", "))
	fmt.Fprintf(&in, "data %d\n%s\n", len(message), message)
	if parent != Zero {
		fmt.Fprintf(&in, "from %s\n", parent)
	}
	if c.Merge != "" {
		other, err := r.Resolve(ctx, c.Merge+"^{commit}")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&in, "merge %s\n", other)
	}
	if c.Replace {
		in.WriteString("deleteall\n")
	}
	for _, path := range c.Delete {
		fmt.Fprintf(&in, "D %s\n", strconv.Quote(path))
	}
	for _, path := range slices.Sorted(maps.Keys(c.Write)) {
		fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", strconv.Quote(path), len(c.Write[path]), c.Write[path])
	}
	for _, path := range slices.Sorted(maps.Keys(c.Links)) {
		fmt.Fprintf(&in, "M 120000 inline %s\ndata %d\n%s\n", strconv.Quote(path), len(c.Links[path]), c.Links[path])
	}
	in.WriteString("get-mark :1\ndone\n")
	out, err := r.Do(ctx, Command{Args: []string{"fast-import", "--quiet", "--force", "--done"}, Stdin: &in})
	if err != nil {
		return "", fmt.Errorf("commit to %s of %s: %w", branch, r.Name, err)
	}
	sha = strings.TrimSpace(out)
	if _, err := r.Run(ctx, "update-ref", "-d", scratch); err != nil {
		return "", err
	}
	if c.Sign != nil {
		if sha, err = r.sign(ctx, sha, c.Sign); err != nil {
			return "", fmt.Errorf("sign a commit to %s of %s: %w", branch, r.Name, err)
		}
	}
	return sha, r.MoveRef(ctx, by, branch, before, sha)
}

// Push moves a branch to any commit, as a force-push by that person would; it
// is made when it does not exist.
func (r *Repository) Push(ctx context.Context, by, branch, revision string) error {
	r.Lock()
	defer r.Unlock()
	after, err := r.Resolve(ctx, revision+"^{commit}")
	if err != nil {
		return err
	}
	before, err := r.Resolve(ctx, "refs/heads/"+branch)
	if errors.Is(err, ErrUnknown) {
		before, err = Zero, nil
	}
	if err != nil {
		return err
	}
	return r.MoveRef(ctx, by, "refs/heads/"+branch, before, after)
}

// DeleteBranch deletes a branch, as a person would by push.
func (r *Repository) DeleteBranch(ctx context.Context, by, branch string) error {
	r.Lock()
	defer r.Unlock()
	before, err := r.Resolve(ctx, "refs/heads/"+branch)
	if err != nil {
		return err
	}
	return r.MoveRef(ctx, by, "refs/heads/"+branch, before, Zero)
}

// ReadFile reads a file as it is at a revision.
func (r *Repository) ReadFile(ctx context.Context, revision, path string) (string, error) {
	out, err := r.Run(ctx, "cat-file", "blob", revision+":"+path)
	if err != nil {
		return "", fmt.Errorf("read %s at %s of %s: %w", path, revision, r.Name, err)
	}
	return out, nil
}

// Files are the paths of all files at a revision.
func (r *Repository) Files(ctx context.Context, revision string) ([]string, error) {
	out, err := r.Run(ctx, "ls-tree", "-r", "-z", "--name-only", revision)
	if err != nil {
		return nil, fmt.Errorf("list the files at %s of %s: %w", revision, r.Name, err)
	}
	return strings.FieldsFunc(out, func(c rune) bool { return c == 0 }), nil
}

// Logged is one line of a log.
type Logged struct {
	SHA, Author, Message string
}

// Log is the history of a revision, the newest first, at most n commits.
func (r *Repository) Log(ctx context.Context, revision string, n int) ([]Logged, error) {
	out, err := r.Run(ctx, "log", "-z", "--format=%H%x1f%an%x1f%B", "-n", strconv.Itoa(n), "--end-of-options", revision, "--")
	if err != nil {
		return nil, fmt.Errorf("log of %s in %s: %w", revision, r.Name, err)
	}
	var log []Logged
	for entry := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if f := strings.SplitN(entry, "\x1f", 3); len(f) == 3 {
			log = append(log, Logged{f[0], f[1], strings.TrimSpace(f[2])})
		}
	}
	return log, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
