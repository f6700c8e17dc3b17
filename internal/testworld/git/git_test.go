package git

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
)

type seen struct {
	mu      sync.Mutex
	changes []Change
	by      []string
}

func (s *seen) observe(_ context.Context, _ *Repository, by string, changes []Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		s.changes, s.by = append(s.changes, c), append(s.by, by)
	}
}

func (s *seen) last(t *testing.T) (Change, string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.changes) == 0 {
		t.Fatal("no ref change was announced")
	}
	return s.changes[len(s.changes)-1], s.by[len(s.by)-1]
}

func world(t *testing.T, options Options) (*Server, *Repository, *seen) {
	t.Helper()
	s, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.AddUser("ann", "secret", WriteAccess)
	s.AddUser("bob", "reader", ReadAccess)
	r, err := s.CreateRepository("acme/shop")
	if err != nil {
		t.Fatal(err)
	}
	watch := &seen{}
	s.Observe(watch.observe)
	if _, err := r.Commit(t.Context(), Commit{Author: "ann", Message: "first", Write: map[string]string{"a.txt": "one\n", "dir/b.txt": "two\n"}}); err != nil {
		t.Fatal(err)
	}
	return s, r, watch
}

func clone(t *testing.T, r *Repository, user, password string) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	url := strings.Replace(r.URL(), "://", "://"+user+":"+password+"@", 1)
	out, err := command(t, "", "clone", "-q", url, dir)
	if err != nil {
		t.Log(out)
	}
	return dir, err
}

func command(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(t.TempDir()), "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.com", "GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := command(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func TestAPushIsServedAndAnnounced(t *testing.T) {
	t.Parallel()
	_, r, watch := world(t, Options{})
	dir, err := clone(t, r, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	before := mustCommand(t, dir, "rev-parse", "HEAD")
	// Bigger than git's post buffer, so that it arrives in chunks.
	big := make([]byte, 3<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	if err := os.WriteFile(filepath.Join(dir, "big.bin"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCommand(t, dir, "add", ".")
	mustCommand(t, dir, "-c", "core.compression=0", "commit", "-qm", "second")
	mustCommand(t, dir, "-c", "pack.compression=0", "push", "-q", "origin", "main")
	after := mustCommand(t, dir, "rev-parse", "HEAD")

	change, by := watch.last(t)
	if want := (Change{"refs/heads/main", before, after}); change != want || by != "ann" {
		t.Errorf("announced %+v by %s, want %+v by ann", change, by, want)
	}
	mustCommand(t, dir, "push", "-q", "origin", "HEAD:refs/heads/other")
	mustCommand(t, dir, "push", "-q", "origin", ":refs/heads/other")
	if change, _ := watch.last(t); change != (Change{"refs/heads/other", after, Zero}) {
		t.Errorf("the deletion was announced as %+v", change)
	}
}

func TestReadersCannotPushAndStrangersCannotRead(t *testing.T) {
	t.Parallel()
	_, r, watch := world(t, Options{})
	if _, err := clone(t, r, "ann", "wrong"); err == nil {
		t.Error("a wrong password could clone")
	}
	dir, err := clone(t, r, "bob", "reader")
	if err != nil {
		t.Fatal(err)
	}
	was := len(watch.changes)
	if out, err := command(t, dir, "push", "origin", "HEAD:refs/heads/x"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a reader's push gave %v: %s", err, out)
	}
	if len(watch.changes) != was {
		t.Error("a refused push was announced")
	}
}

func TestTheJudgeRefusesRefsOneByOne(t *testing.T) {
	t.Parallel()
	_, r, watch := world(t, Options{Judge: func(_ *Repository, by string, changes []Change) []Refusal {
		var refusals []Refusal
		for _, c := range changes {
			if by == "ann" && c.Ref == "refs/heads/locked" {
				refusals = append(refusals, Refusal{Ref: c.Ref, Message: "GH006: Protected branch update failed"})
			}
			refusals = append(refusals, Refusal{Ref: c.Ref, Message: "Cannot force-push to this branch", OnlyForced: true})
		}
		return refusals
	}})
	dir, err := clone(t, r, "ann", "secret")
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t, dir, "push", "origin", "HEAD:refs/heads/locked", "HEAD:refs/heads/open")
	if err == nil || !strings.Contains(out, "GH006") {
		t.Errorf("the push to a refused ref gave %v: %s", err, out)
	}
	if c, _ := watch.last(t); c.Ref != "refs/heads/open" {
		t.Errorf("announced %+v, want the ref that was let in", c)
	}
	mustCommand(t, dir, "commit", "-q", "--amend", "-m", "rewritten")
	if out, err := command(t, dir, "push", "-f", "origin", "HEAD:refs/heads/open"); err == nil || !strings.Contains(out, "Cannot force-push") {
		t.Errorf("a forced push gave %v: %s", err, out)
	}
	mustCommand(t, dir, "push", "-q", "origin", ":refs/heads/open")
}

func TestGoGitClonesShallowAndFetchesByID(t *testing.T) {
	t.Parallel()
	_, r, _ := world(t, Options{})
	auth := &githttp.BasicAuth{Username: "bob", Password: "reader"}
	repo, err := gogit.CloneContext(t.Context(), memory.NewStorage(), nil, &gogit.CloneOptions{URL: r.URL(), Auth: auth, Depth: 1, SingleBranch: true, Tags: gogit.NoTags})
	if err != nil {
		t.Fatal(err)
	}
	sha, err := r.Commit(t.Context(), Commit{Branch: "side", Write: map[string]string{"c.txt": "three\n"}})
	if err != nil {
		t.Fatal(err)
	}
	err = repo.FetchContext(t.Context(), &gogit.FetchOptions{Auth: auth, Depth: 1, RefSpecs: []config.RefSpec{config.RefSpec(sha + ":refs/heads/wanted")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.CommitObject(plumbing.NewHash(sha)); err != nil {
		t.Error(err)
	}
}

func TestAPersonsHelpers(t *testing.T) {
	t.Parallel()
	_, r, watch := world(t, Options{})
	ctx := t.Context()
	first, err := r.Resolve(ctx, "main")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Commit(ctx, Commit{Author: "ann", Message: "second\n\nwith a body", Write: map[string]string{"n\u00e4 \"me.txt": "x"}, Delete: []string{"dir"}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files(ctx, "main")
	if err != nil || strings.Join(files, ",") != "a.txt,n\u00e4 \"me.txt" {
		t.Errorf("files are %q, %v", files, err)
	}
	if got, err := r.ReadFile(ctx, "main", "a.txt"); err != nil || got != "one\n" {
		t.Errorf("a.txt is %q, %v", got, err)
	}
	log, err := r.Log(ctx, "main", 5)
	if err != nil || len(log) != 2 || log[0] != (Logged{second, "ann", "second\n\nwith a body"}) {
		t.Errorf("log is %+v, %v", log, err)
	}
	if err := r.Push(ctx, "ann", "main", first); err != nil {
		t.Fatal(err)
	}
	if c, by := watch.last(t); c != (Change{"refs/heads/main", second, first}) || by != "ann" {
		t.Errorf("the force-push was announced as %+v by %s", c, by)
	}
	if err := r.DeleteBranch(ctx, "ann", "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(ctx, "main"); err == nil {
		t.Error("a deleted branch resolves")
	}
}

func TestFaultsStrikeUntilHealed(t *testing.T) {
	t.Parallel()
	s, r, _ := world(t, Options{})
	fails := func() bool { _, err := clone(t, r, "ann", "secret"); return err != nil }
	elsewhere, _, _ := world(t, Options{})
	for name, fault := range map[string]Fault{
		"server error":   {Status: 503},
		"redirect":       {RedirectTo: elsewhere.URL() + "/nowhere"},
		"truncated pack": {TruncateAfter: 20},
		"corrupted pack": {CorruptAt: 20},
	} {
		heal := s.Fail(Match{Repository: "acme/shop", Service: "upload-pack"}, fault)
		if !fails() {
			t.Errorf("%s: the clone succeeded", name)
		}
		heal()
		heal() // twice does no harm
		if fails() {
			t.Errorf("%s: the clone fails after healing", name)
		}
	}
	heal := s.Fail(Match{}, Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := gogit.CloneContext(ctx, memory.NewStorage(), nil, &gogit.CloneOptions{URL: r.URL(), Auth: &githttp.BasicAuth{Username: "ann", Password: "secret"}})
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("a hanging clone succeeded")
	}
	heal()
	if s.Fail(Match{}, Fault{Status: 500, Times: 1}); !fails() || fails() {
		t.Error("a fault with Times 1 must strike exactly once")
	}
}

func TestTheRequestLogCounts(t *testing.T) {
	t.Parallel()
	s, r, _ := world(t, Options{})
	s.ForgetRequests()
	if _, err := clone(t, r, "bob", "reader"); err != nil {
		t.Fatal(err)
	}
	fetches := 0
	for _, q := range s.Requests() {
		if q.Service == "upload-pack" && q.Status == 200 && q.User == "bob" && q.Bytes > 0 {
			fetches++
		}
	}
	if fetches == 0 {
		t.Errorf("no fetch in %+v", s.Requests())
	}
}

func TestANameCannotLeaveTheDirectory(t *testing.T) {
	t.Parallel()
	s, _, _ := world(t, Options{})
	for _, name := range []string{"../x", "a/../b", "a/b/c", "a/..", "/a/b", "a", ""} {
		if _, err := s.CreateRepository(name); err == nil {
			t.Errorf("created %q", name)
		}
	}
}
