package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// Repository is one bare repository. Its lock is held while refs move; whoever
// keeps state beside it (the GitHub stand-in) guards that with the same lock.
type Repository struct {
	sync.Mutex
	Name   string // owner/name
	Dir    string
	server *Server
}

const repositoryConfig = `[core]
	repositoryformatversion = 0
	bare = true
	logAllRefUpdates = false
[http]
	receivepack = true
[uploadpack]
	allowReachableSHA1InWant = true
	allowFilter = true
[receive]
	autogc = false
[gc]
	auto = 0
[transfer]
	hideRefs = refs/stand-in
`

// The server's judgement reaches the hook by environment, since only the hook
// can make git refuse one ref and say why.
const updateHook = `#!/bin/sh
tab=$(printf '\t')
while IFS="$tab" read -r kind ref message; do
	[ "$ref" = "$1" ] || continue
	if [ "$kind" = forced ]; then
		case "$2$3" in *0000000000000000000000000000000000000000*) continue ;; esac
		git merge-base --is-ancestor "$2" "$3" && continue
	fi
	echo "$message" >&2
	exit 1
done <<EOF
$PAWL_REFUSED_REFS
EOF
exit 0
`

func refusalEnv(refusals []Refusal) []string {
	var lines []string
	for _, r := range refusals {
		kind := "always"
		if r.OnlyForced {
			kind = "forced"
		}
		lines = append(lines, kind+"\t"+r.Ref+"\t"+strings.ReplaceAll(r.Message, "\n", " "))
	}
	return []string{"PAWL_REFUSED_REFS=" + strings.Join(lines, "\n")}
}

// CreateRepository makes an empty bare repository whose HEAD is main.
func (s *Server) CreateRepository(name string) (*Repository, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("create repository %q: want owner/name of letters, digits, '.', '_' and '-'", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.repositories[name]; taken {
		return nil, fmt.Errorf("create repository %s: it exists already", name)
	}
	r := &Repository{Name: name, Dir: filepath.Join(s.dir, filepath.FromSlash(name)+".git"), server: s}
	// What `git init --bare` would write, without starting a process.
	for _, dir := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks", "info"} {
		if err := os.MkdirAll(filepath.Join(r.Dir, dir), 0o755); err != nil {
			return nil, fmt.Errorf("create repository %s: %w", name, err)
		}
	}
	for file, content := range map[string]string{"HEAD": "ref: refs/heads/main\n", "config": repositoryConfig, "hooks/update": updateHook} {
		if err := os.WriteFile(filepath.Join(r.Dir, file), []byte(content), 0o755); err != nil {
			return nil, fmt.Errorf("create repository %s: %w", name, err)
		}
	}
	s.repositories[name] = r
	return r, nil
}

// URL is what git clones.
func (r *Repository) URL() string { return r.server.URL() + "/" + r.Name + ".git" }

// CommandError is a git command that failed.
type CommandError struct {
	Args   []string
	Code   int
	Stdout string
	Stderr string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("git %s: exit code %d: %s", strings.Join(e.Args, " "), e.Code, strings.TrimSpace(e.Stderr))
}

// Command is one git command on the bare repository.
type Command struct {
	Args  []string
	Env   []string
	Stdin io.Reader
}

// Run runs a git command on the bare repository and returns what it printed.
func (r *Repository) Run(ctx context.Context, args ...string) (string, error) {
	return r.Do(ctx, Command{Args: args})
}

// Do is Run with an environment and an input.
func (r *Repository) Do(ctx context.Context, c Command) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir", r.Dir}, c.Args...)...)
	cmd.Dir = r.Dir
	cmd.Env = append(append(cleanEnv(r.server.dir), c.Env...), "GIT_OPTIONAL_LOCKS=0")
	cmd.Stdin = c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && ctx.Err() == nil {
			return "", &CommandError{Args: c.Args, Code: exit.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
		}
		return "", fmt.Errorf("git %s in %s: %w", c.Args[0], r.Name, err)
	}
	return stdout.String(), nil
}

// refs are all refs with their ids, those of the stand-in's own left out.
func (r *Repository) refs(ctx context.Context) (map[string]string, error) {
	out, err := r.Run(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		if id, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			refs[name] = id
		}
	}
	return refs, nil
}

func diffRefs(before, after map[string]string) []Change {
	var changes []Change
	for ref, was := range before {
		if is, ok := after[ref]; !ok {
			changes = append(changes, Change{ref, was, Zero})
		} else if is != was {
			changes = append(changes, Change{ref, was, is})
		}
	}
	for ref, is := range after {
		if _, ok := before[ref]; !ok {
			changes = append(changes, Change{ref, Zero, is})
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].Ref < changes[j].Ref })
	return changes
}

func (s *Server) notify(ctx context.Context, r *Repository, by string, changes []Change) {
	s.mu.Lock()
	observers := s.observers
	s.mu.Unlock()
	for _, observe := range observers {
		observe(ctx, r, by, changes)
	}
}

// ErrMoved means that a ref was not where the caller expected it.
var ErrMoved = errors.New("the ref has moved")

// MoveRef moves a ref from one id to another, Zero standing for "none", and
// tells the observers. The caller holds the lock.
func (r *Repository) MoveRef(ctx context.Context, by, ref, before, after string) error {
	if before == after {
		return nil
	}
	args := []string{"update-ref", "--no-deref", ref, after, before}
	if after == Zero {
		args = []string{"update-ref", "--no-deref", "-d", ref, before}
	}
	if _, err := r.Run(ctx, args...); err != nil {
		if is, _ := r.Resolve(ctx, ref); is != before && !(is == "" && before == Zero) {
			return fmt.Errorf("move %s of %s from %s: %w", ref, r.Name, before, ErrMoved)
		}
		return err
	}
	r.server.notify(ctx, r, by, []Change{{ref, before, after}})
	return nil
}

// ErrUnknown means that nothing has this name.
var ErrUnknown = errors.New("unknown revision")

// Resolve finds the id that a ref, a branch or a shortened id stands for.
func (r *Repository) Resolve(ctx context.Context, revision string) (string, error) {
	out, err := r.Run(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
	if err != nil {
		var failed *CommandError
		if errors.As(err, &failed) {
			return "", fmt.Errorf("resolve %s in %s: %w", revision, r.Name, ErrUnknown)
		}
		return "", err
	}
	return strings.TrimSpace(out), nil
}
