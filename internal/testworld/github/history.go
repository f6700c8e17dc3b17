package github

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// commit is what git says of one commit.
type commit struct {
	sha, tree                string
	parents                  []string
	author, committer        person
	message                  string
	signature, payload       string // what it bears, and what was signed; see readSignatures
	added, modified, removed []string
}

type person struct {
	name, email string
	when        time.Time
}

const commitFormat = "%x1e%H%x1f%T%x1f%P%x1f%an%x1f%ae%x1f%at%x1f%cn%x1f%ce%x1f%ct%x1f%B%x1f"

// commits reads the commits that `git log` lists for args, with the files each
// changed when files is set.
func (r *repository) commits(ctx context.Context, files bool, args ...string) ([]*commit, error) {
	command := []string{"log", "--format=" + commitFormat}
	if files {
		command = append(command, "--name-status", "-z", "--no-renames", "--diff-merges=first-parent")
	}
	out, err := r.git.Run(ctx, append(command, args...)...)
	if err != nil {
		var failed *git.CommandError
		if errors.As(err, &failed) {
			return nil, fmt.Errorf("log %v: %w", args, git.ErrUnknown)
		}
		return nil, err
	}
	var list []*commit
	for entry := range strings.SplitSeq(out, "\x1e") {
		f := strings.Split(entry, "\x1f")
		if len(f) < 11 {
			continue
		}
		c := &commit{
			sha: f[0], tree: f[1], parents: strings.Fields(f[2]), author: personOf(f[3:6]), committer: personOf(f[6:9]),
			message: strings.TrimRight(f[9], "\n"),
		}
		c.readFiles(f[10])
		list = append(list, c)
	}
	return list, nil
}

func personOf(f []string) person {
	at, _ := strconv.ParseInt(f[2], 10, 64)
	return person{f[0], f[1], time.Unix(at, 0).UTC()}
}

func (c *commit) readFiles(status string) {
	f := strings.FieldsFunc(status, func(r rune) bool { return r == 0 || r == '\n' })
	for i := 0; i+1 < len(f); i += 2 {
		switch f[i] {
		case "A":
			c.added = append(c.added, f[i+1])
		case "D":
			c.removed = append(c.removed, f[i+1])
		default:
			c.modified = append(c.modified, f[i+1])
		}
	}
}

// commit reads one commit.
func (r *repository) commit(ctx context.Context, revision string) (*commit, error) {
	list, err := r.commits(ctx, false, "-1", "--end-of-options", revision, "--")
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, git.ErrUnknown
	}
	return list[0], nil
}

// find resolves what people write for a commit: a branch, a tag, heads/x, an id.
func (r *repository) find(ctx context.Context, name string) (string, error) {
	for _, full := range []string{name, "refs/heads/" + name, "refs/tags/" + name, "refs/" + name} {
		if full == name && !isID(name) {
			continue // "main" must be the branch, never what git makes of it
		}
		sha, err := r.git.Resolve(ctx, full+"^{commit}")
		if err == nil || !errors.Is(err, git.ErrUnknown) {
			return sha, err
		}
	}
	return "", fmt.Errorf("find %s: %w", name, git.ErrUnknown)
}

func isID(s string) bool {
	return len(s) >= 7 && len(s) <= 40 && strings.Trim(s, "0123456789abcdef") == ""
}

func (r *repository) contains(ctx context.Context, ancestor, of string) (bool, error) {
	_, err := r.git.Run(ctx, "merge-base", "--is-ancestor", ancestor, of)
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Code == 1 {
		return false, nil
	}
	return err == nil, err
}

// forced reports whether moving a ref loses commits.
func (r *repository) forced(ctx context.Context, before, after string) (bool, error) {
	if before == git.Zero || after == git.Zero || before == after {
		return false, nil
	}
	in, err := r.contains(ctx, before, after)
	return !in, err
}

func (r *repository) count(ctx context.Context, from, to string) (int, error) {
	out, err := r.git.Run(ctx, "rev-list", "--count", to, "^"+from)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

func (r *repository) mergeBase(ctx context.Context, a, b string) (string, error) {
	out, err := r.git.Run(ctx, "merge-base", a, b)
	var failed *git.CommandError
	if errors.As(err, &failed) && failed.Code == 1 {
		return "", nil
	}
	return strings.TrimSpace(out), err
}
