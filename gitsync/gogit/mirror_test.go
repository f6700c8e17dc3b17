package gogit_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// world is a git server with the repository acme/shop.
func world(t *testing.T) (*git.Server, *git.Repository) {
	t.Helper()
	server, err := git.Start(t.Context(), git.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	server.AddUser("agent", "planted", git.ReadAccess)
	repository, err := server.CreateRepository("acme/shop")
	if err != nil {
		t.Fatal(err)
	}
	return server, repository
}

func options(r *git.Repository) gogit.Options {
	return gogit.Options{URL: r.URL(), Branch: "main", Credentials: func(context.Context) (string, string, error) { return "agent", "planted", nil }}
}

func mirror(t *testing.T, o gogit.Options) *gogit.Mirror {
	t.Helper()
	m, err := gogit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func fetch(t *testing.T, m *gogit.Mirror) gitsync.Revision {
	t.Helper()
	rev, err := m.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func commit(t *testing.T, r *git.Repository, c git.Commit) gitsync.Commit {
	t.Helper()
	sha, err := r.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return gitsync.Commit(sha)
}

func files(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func content(t *testing.T, rev gitsync.Revision, path string) string {
	t.Helper()
	data, err := rev.Tree.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheHeadIsReadWithItsTree(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	first := commit(t, r, git.Commit{Write: files("pawl.yaml", "one\n"), Message: "first"})
	want := commit(t, r, git.Commit{Write: files("apps/web/a.yaml", "a\n", "apps/web-x/b", ""), Message: "second\n\nwith a body", Author: "ann"})
	rev := fetch(t, mirror(t, options(r)))
	if rev.Commit != want || rev.Subject != "second" || rev.Author != "ann <ann@users.noreply.github.com>" || len(rev.Parents) != 1 || rev.Parents[0] != first {
		t.Errorf("read %+v", rev)
	}
	for path, text := range map[string]string{"pawl.yaml": "one\n", "apps/web/a.yaml": "a\n", "apps/web-x/b": ""} {
		if got := content(t, rev, path); got != text {
			t.Errorf("%s: %q", path, got)
		}
		if e, ok := rev.Tree.Lookup(path); !ok || e.Kind != gitsync.File || e.Size != int64(len(text)) {
			t.Errorf("%s: %+v", path, e)
		}
	}
}

func TestNothingMovedCostsOneRequest(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("pawl.yaml", "one\n")})
	m := mirror(t, options(r))
	first := fetch(t, m)
	server.ForgetRequests()
	again := fetch(t, m)
	if n := len(server.Requests()); n != 1 {
		t.Errorf("%d requests: %+v", n, server.Requests())
	}
	if again.Commit != first.Commit {
		t.Error("moved")
	}
}

func TestAPushBringsOnlyWhatIsNewAndSharesTheRest(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	big := map[string]string{}
	for i := range 300 {
		big[fmt.Sprintf("apps/app-%d/base/deployment.yaml", i)] = strings.Repeat(fmt.Sprintf("line %d\n", i*i), 100)
	}
	commit(t, r, git.Commit{Write: big})
	m := mirror(t, options(r))
	before := fetch(t, m)
	server.ForgetRequests()
	want := commit(t, r, git.Commit{Write: files("apps/app-7/base/deployment.yaml", "changed\n")})
	after := fetch(t, m)
	if after.Commit != want || content(t, after, "apps/app-7/base/deployment.yaml") != "changed\n" {
		t.Errorf("read %+v", after)
	}
	var sent int64
	for _, q := range server.Requests() {
		sent += q.Bytes
	}
	if len(server.Requests()) != 2 || sent > 16<<10 {
		t.Errorf("%d requests, %d bytes", len(server.Requests()), sent)
	}
	changed := 0
	for p, e := range after.Tree.All() {
		if was, _ := before.Tree.Lookup(p); was != e {
			changed++
		}
	}
	if changed != 5 { // the root, three folders and the file
		t.Errorf("%d entries differ", changed)
	}
	if content(t, before, "apps/app-7/base/deployment.yaml") == "changed\n" {
		t.Error("the revision before changed")
	}
}

// A server with bitmaps leaves out whatever the history that we claim to have
// ever held. A file from before the first fetch is then missing, and the head
// must be fetched anew.
func TestARevertToBeforeTheFirstFetchIsRead(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "old and good\n", "b.yaml", "b\n")})
	commit(t, r, git.Commit{Write: files("a.yaml", "new and bad\n")})
	m := mirror(t, options(r))
	fetch(t, m)
	commit(t, r, git.Commit{Write: files("a.yaml", "old and good\n")})
	if out, err := r.Run(t.Context(), "-c", "repack.writeBitmaps=true", "repack", "-adbq"); err != nil {
		t.Fatal(err, out)
	}
	rev := fetch(t, m)
	if content(t, rev, "a.yaml") != "old and good\n" || content(t, rev, "b.yaml") != "b\n" {
		t.Errorf("read %+v", rev)
	}
}

func TestAMergeOfABranchFromBeforeTheFirstFetchIsNoRewrite(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	base := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	commit(t, r, git.Commit{Write: files("b.yaml", "1\n"), Branch: "topic", From: string(base)})
	commit(t, r, git.Commit{Write: files("a.yaml", "2\n")})
	m := mirror(t, options(r))
	fetch(t, m)
	merge, err := r.Run(t.Context(), "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-p", "main", "-p", "topic", "-m", "merge", "topic^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Push(t.Context(), "ann", "main", strings.TrimSpace(merge)); err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, m); len(rev.Parents) != 2 || content(t, rev, "b.yaml") != "1\n" {
		t.Errorf("read %+v", rev)
	}
}

// catalogue 55: an error that says what is gone, never the old revision.
func TestABranchThatIsGoneIsAnErrorUntilItIsBack(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	m := mirror(t, options(r))
	var gone *gitsync.BranchGone
	if _, err := m.Fetch(t.Context()); !errors.As(err, &gone) || !gone.Empty {
		t.Errorf("an empty repository: %v", err)
	}
	head := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n"), Branch: "other"})
	fetch(t, m)
	if err := r.DeleteBranch(t.Context(), "ann", "main"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if rev, err := m.Fetch(t.Context()); !errors.As(err, &gone) || gone.Empty || rev.Commit != "" {
			t.Errorf("a deleted branch: %+v, %v", rev, err)
		}
	}
	if gone.Hint() == "" || !strings.Contains(gone.Error(), "main") {
		t.Errorf("says %q, %q", gone, gone.Hint())
	}
	if err := r.DeleteBranch(t.Context(), "ann", "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Fetch(t.Context()); !errors.As(err, &gone) || !gone.Empty {
		t.Errorf("an emptied repository: %v", err)
	}
	if err := r.Push(t.Context(), "ann", "main", string(head)); err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, m); rev.Commit != head {
		t.Errorf("after it is back: %+v", rev)
	}
}

// catalogue 55
func TestFailuresSayWhatAndWhy(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	m := mirror(t, options(r))
	fetch(t, m)
	for name, c := range map[string]struct {
		change func(*gogit.Options)
		is     func(error) bool
	}{
		"no such repository": {func(o *gogit.Options) { o.URL = strings.Replace(o.URL, "shop", "shopp", 1) }, is[*gitsync.RepositoryGone]},
		"a wrong password": {func(o *gogit.Options) {
			o.Credentials = func(context.Context) (string, string, error) { return "agent", "planted-wrong", nil }
		}, is[*gitsync.AccessDenied]},
		"no credentials": {func(o *gogit.Options) { o.Credentials = nil }, is[*gitsync.AccessDenied]},
		"credentials that cannot be had": {func(o *gogit.Options) {
			o.Credentials = func(context.Context) (string, string, error) { return "", "", errSecretFile }
		}, func(err error) bool { return errors.Is(err, errSecretFile) }},
		"a branch with the name of a tag or commit": {func(o *gogit.Options) { o.Branch = "HEAD" }, is[*gitsync.BranchGone]},
		"a branch like an option":                   {func(o *gogit.Options) { o.Branch = "--upload-pack=touch /tmp/x" }, is[*gitsync.BranchGone]},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(r)
			c.change(&o)
			_, err := mirror(t, o).Fetch(t.Context())
			if err == nil || !c.is(err) {
				t.Errorf("%T %v", err, err)
			}
			if err != nil && strings.Contains(err.Error(), "planted") {
				t.Errorf("shows the password: %v", err)
			}
		})
	}
	for name, fault := range map[string]git.Fault{
		"a server error":   {Status: http.StatusServiceUnavailable},
		"a cut connection": {TruncateAfter: 20},
	} {
		heal := server.Fail(git.Match{Repository: "acme/shop"}, fault)
		if rev, err := m.Fetch(t.Context()); err == nil || rev.Commit != "" {
			t.Errorf("%s: %+v, %v", name, rev, err)
		} else if !strings.Contains(err.Error(), "read branch main of http") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: says %v", name, err)
		}
		heal()
		fetch(t, m)
	}
}

var errSecretFile = errors.New("the file is empty")

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestAPackThatIsCutShortChangesNothing(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	m := mirror(t, options(r))
	fetch(t, m)
	second := commit(t, r, git.Commit{Write: files("a.yaml", strings.Repeat("x\n", 1000))})
	for _, after := range []int64{1, 30, 60, 120, 200} {
		heal := server.Fail(git.Match{Service: "upload-pack"}, git.Fault{TruncateAfter: after})
		if rev, err := m.Fetch(t.Context()); err == nil {
			t.Errorf("cut after %d bytes: read %s", after, rev.Commit)
		}
		heal()
	}
	if rev := fetch(t, m); rev.Commit != second || rev.Parents[0] != first {
		t.Errorf("healed: %+v", rev)
	}
}

// catalogue 52
func TestAnotherHostNeverGetsTheCredentials(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	var mu sync.Mutex
	asked := 0
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
	}))
	t.Cleanup(canary.Close)
	server.Fail(git.Match{}, git.Fault{RedirectTo: canary.URL})
	_, err := mirror(t, options(r)).Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "redirects to") || strings.Contains(err.Error(), "planted") {
		t.Errorf("said %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked != 0 {
		t.Error("the other host was asked")
	}
}

// catalogue 82
func TestRenewedCredentialsAreUsedWithTheNextFetch(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	password := "planted"
	o := options(r)
	o.Credentials = func(context.Context) (string, string, error) { return "agent", password, nil }
	m := mirror(t, o)
	fetch(t, m)
	server.AddUser("agent", "renewed", git.ReadAccess)
	if _, err := m.Fetch(t.Context()); !is[*gitsync.AccessDenied](err) {
		t.Errorf("the old password: %v", err)
	}
	password = "renewed"
	fetch(t, m)
}

func TestCallsThatOverlapShareAFetchThatBeganAfterThem(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	m := mirror(t, options(r))
	fetch(t, m)
	server.ForgetRequests()
	heal := server.Fail(git.Match{}, git.Fault{Hang: true})
	type result struct {
		rev gitsync.Revision
		err error
	}
	early := make(chan result)
	go func() {
		rev, err := m.Fetch(t.Context())
		early <- result{rev, err}
	}()
	wait(t, m.Fetching)
	// The first fetch has begun. What follows must not be served by it.
	want := commit(t, r, git.Commit{Write: files("a.yaml", "2\n")})
	late := make(chan result, 20)
	for range 20 {
		go func() {
			rev, err := m.Fetch(t.Context())
			late <- result{rev, err}
		}()
	}
	wait(t, func() bool { return m.Waiting() == 20 })
	heal()
	if got := <-early; got.err != nil {
		t.Error(got.err)
	}
	for range 20 {
		if got := <-late; got.err != nil || got.rev.Commit != want {
			t.Errorf("read %s, %v; want %s", got.rev.Commit, got.err, want)
		}
	}
	if n := len(server.Requests()); n > 4 {
		t.Errorf("%d requests", n)
	}
}

func TestACallThatIsGivenUpReturnsAtOnceAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	m := mirror(t, options(r))
	heal := server.Fail(git.Match{}, git.Fault{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := m.Fetch(ctx)
		given <- err
	}()
	wait(t, m.Fetching)
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	heal()
	fetch(t, m)
}

// catalogue 42, for git
func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	o := options(r)
	o.Timeout = 50 * time.Millisecond
	server.Fail(git.Match{}, git.Fault{Hang: true})
	if _, err := mirror(t, o).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "no complete answer within 50ms") {
		t.Error(err)
	}
}

func wait(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen")
		}
	}
}

// catalogue 5, 57
func TestLinksAndSubmodulesAreKeptAsSuch(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	head := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	entries := fmt.Sprintf("120000 blob %s\tlink\n160000 commit %s\tmodule\n100755 blob %[1]s\trun.sh\n", run(t, r, "../../secret", "hash-object", "-w", "--stdin"), head)
	tree := run(t, r, entries, "mktree")
	sha := run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "odd", tree)
	if err := r.Push(t.Context(), "ann", "main", sha); err != nil {
		t.Fatal(err)
	}
	rev := fetch(t, mirror(t, options(r)))
	for path, kind := range map[string]gitsync.Kind{"link": gitsync.Symlink, "module": gitsync.Submodule, "run.sh": gitsync.File, ".": gitsync.Folder} {
		if e, _ := rev.Tree.Lookup(path); e.Kind != kind {
			t.Errorf("%s is %v", path, e.Kind)
		}
	}
	for _, path := range []string{"link", "module", "module/a.yaml"} {
		if _, err := rev.Tree.Read(path); err == nil {
			t.Errorf("%s was followed", path)
		}
	}
}

func run(t *testing.T, r *git.Repository, stdin string, args ...string) string {
	t.Helper()
	out, err := r.Do(t.Context(), git.Command{Args: args, Stdin: strings.NewReader(stdin)})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// catalogue 51
func TestNamesThatCouldBeTakenForAPathAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"..", ".git", ".GIT", "a/b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r := world(t)
			blob := run(t, r, "x", "hash-object", "-w", "--stdin")
			raw := []byte{}
			for i := 0; i < len(blob); i += 2 {
				var b byte
				if _, err := fmt.Sscanf(blob[i:i+2], "%02x", &b); err != nil {
					t.Fatal(err)
				}
				raw = append(raw, b)
			}
			tree := run(t, r, "100644 "+name+"\x00"+string(raw), "hash-object", "-t", "tree", "-w", "--literally", "--stdin")
			sha := run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "bad", tree)
			if err := r.Push(t.Context(), "ann", "main", sha); err != nil {
				t.Fatal(err)
			}
			if _, err := mirror(t, options(r)).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "is no name for a file") {
				t.Error(err)
			}
		})
	}
}

// catalogue 57 and 20
func TestLimitsAreNamed(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	commit(t, r, git.Commit{Write: files("a/b/c/d/e", strings.Repeat("zeros compress well\n", 5000), "f", "1", "g", "2")})
	commit(t, r, git.Commit{Write: files("f", "1"), Branch: strings.Repeat("long", 50)})
	for want, limits := range map[string]gogit.Limits{
		"more than 100 bytes of branches and tags":     {Refs: 100},
		"more than 200 bytes of transfer in one fetch": {Transfer: 200},
		"more than 5000 bytes of content":              {Content: 5000},
		"more than 3 files and folders":                {Entries: 3},
		"more than 2 folders inside of one another":    {Depth: 2},
	} {
		o := options(r)
		o.Limits = limits
		_, err := mirror(t, o).Fetch(t.Context())
		var large *gitsync.TooLarge
		if !errors.As(err, &large) || !strings.HasSuffix(err.Error(), want) || large.Hint() == "" {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// catalogue 20: whoever does not read the file does not notice, also where the
// next commit is received without it.
func TestAFileThatIsTooLargeIsThereWithoutContent(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	o := options(r)
	o.Limits.File = 1000
	m := mirror(t, o)
	commit(t, r, git.Commit{Write: files("small", "1", "large", strings.Repeat("zeros compress well\n", 5000))})
	for range 2 {
		rev := fetch(t, m)
		if _, err := rev.Tree.Read("large"); !is[*gitsync.NoContent](err) || !strings.Contains(err.Error(), "large: the file is larger than 1000 bytes") {
			t.Error(err)
		}
		if e, ok := rev.Tree.Lookup("large"); !ok || e.Size != 100_000 {
			t.Errorf("%+v", e)
		}
		_ = content(t, rev, "small")
		commit(t, r, git.Commit{Write: files("small", "2")})
	}
	commit(t, r, git.Commit{Write: files("large", "no more")})
	if got := content(t, fetch(t, m), "large"); got != "no more" {
		t.Errorf("it says %q", got)
	}
}

// catalogue 114: what was too large once is not received again and again.
func TestACommitThatIsTooLargeIsNamedAndReceivedOnce(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	o := options(r)
	o.Limits.Content = 5000
	m := mirror(t, o)
	head := commit(t, r, git.Commit{Write: files("a", strings.Repeat("zeros compress well\n", 5000))})
	for _, requests := range []int{2, 1, 1} {
		server.ForgetRequests()
		var large *gitsync.TooLarge
		if _, err := m.Fetch(t.Context()); !errors.As(err, &large) || large.Commit != head {
			t.Errorf("%v, want commit %s named", err, head)
		}
		if n := len(server.Requests()); n != requests {
			t.Errorf("%d requests, want %d: %+v", n, requests, server.Requests())
		}
	}
	commit(t, r, git.Commit{Delete: []string{"a"}, Write: files("b", "1")})
	_ = content(t, fetch(t, m), "b")
}

// Folders that hold one another many times are few objects and endless entries.
func TestAFolderBombIsRefused(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	blob := run(t, r, "x", "hash-object", "-w", "--stdin")
	line := "100644 blob " + blob + "\t%d\n"
	for range 10 {
		entries := ""
		for i := range 10 {
			entries += fmt.Sprintf(line, i)
		}
		line = "040000 tree " + run(t, r, entries, "mktree") + "\t%d\n"
	}
	sha := run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "bomb", strings.Fields(line)[2])
	if err := r.Push(t.Context(), "ann", "main", sha); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror(t, options(r)).Fetch(t.Context()); !is[*gitsync.TooLarge](err) {
		t.Error(err)
	}
}

// catalogue 53
func TestAnUnknownAuthorityIsRefusedAndItsBundleAccepted(t *testing.T) {
	t.Parallel()
	server, err := git.New(t.Context(), git.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	server.AddUser("agent", "planted", git.ReadAccess)
	secure := httptest.NewTLSServer(server)
	t.Cleanup(secure.Close)
	server.SetURL(secure.URL)
	r, err := server.CreateRepository("acme/shop")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	o := options(r)
	if _, err := mirror(t, o).Fetch(t.Context()); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("an unknown authority: %v", err)
	}
	o.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	fetch(t, mirror(t, o))
	o.CABundle = []byte("no certificate")
	if _, err := gogit.New(o); err == nil {
		t.Error("a bundle without a certificate was accepted")
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []gogit.Options{
		{URL: "https://me:planted@example.org/a/b.git", Branch: "main"},
		{URL: "git@github.com:acme/shop.git", Branch: "main"},
		{URL: "/etc", Branch: "main"},
		{URL: "https://example.org/a/b.git"},
	} {
		if _, err := gogit.New(o); err == nil || strings.Contains(err.Error(), "planted") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// random does not compress.
func random(t *testing.T) string {
	t.Helper()
	data := make([]byte, 32<<10)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	return string(data)
}
