package gogit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// catalogue 54: followed, but said.
func TestARewrittenBranchIsFollowedAndSaid(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a.yaml", "1\n")})
	second := commit(t, r, git.Commit{Write: files("a.yaml", "2\n")})
	m := mirror(t, options(r))
	before := fetch(t, m).Commit
	for _, step := range []struct {
		name      string
		push      func() gitsync.Commit
		rewritten bool
	}{
		{"an amended commit", func() gitsync.Commit {
			return commit(t, r, git.Commit{Write: files("a.yaml", "3\n"), From: string(first)})
		}, true},
		{"a commit on top", func() gitsync.Commit { return commit(t, r, git.Commit{Write: files("a.yaml", "4\n")}) }, false},
		{"unrelated history", func() gitsync.Commit {
			sha, err := r.Run(t.Context(), "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "root", string(second)+"^{tree}")
			if err == nil {
				err = r.Push(t.Context(), "ann", "main", strings.TrimSpace(sha))
			}
			if err != nil {
				t.Fatal(err)
			}
			return gitsync.Commit(strings.TrimSpace(sha))
		}, true},
		{"back to an older commit of another line", func() gitsync.Commit {
			if err := r.Push(t.Context(), "ann", "main", string(second)); err != nil {
				t.Fatal(err)
			}
			return second
		}, true},
		{"back to the parent", func() gitsync.Commit {
			if err := r.Push(t.Context(), "ann", "main", string(first)); err != nil {
				t.Fatal(err)
			}
			return first
		}, true},
		{"forward again", func() gitsync.Commit {
			if err := r.Push(t.Context(), "ann", "main", string(second)); err != nil {
				t.Fatal(err)
			}
			return second
		}, false},
	} {
		want := step.push()
		rev := fetch(t, m)
		if rev.Commit != want {
			t.Fatalf("%s: read %s; want %s", step.name, rev.Commit, want)
		}
		// From memory where the mirror saw the branch move, and from the server.
		for name, m := range map[string]*gogit.Mirror{"seen": m, "asked": mirror(t, options(r))} {
			if line, err := m.History(t.Context(), rev.Commit, before); err != nil || line.Ancestor == step.rewritten {
				t.Errorf("%s, %s: %+v, %v; want it rewritten: %v", step.name, name, line, err, step.rewritten)
			}
		}
		before = rev.Commit
	}
}
func history(t *testing.T, m *gogit.Mirror, head, base gitsync.Commit) gitsync.Line {
	t.Helper()
	line, err := m.History(t.Context(), head, base)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func ids(line gitsync.Line) (ids []gitsync.Commit) {
	for _, c := range line.Commits {
		ids = append(ids, c.Commit)
	}
	return ids
}

// dag is a history with merges, by short names.
//
//	a ─ b ─ c ─── m ─ d     main
//	     ╲ s ─ t ╱
//	x                       unrelated
func dag(t *testing.T, r *git.Repository, when func(name string) time.Time) map[string]gitsync.Commit {
	t.Helper()
	at := map[string]gitsync.Commit{}
	add := func(name, branch, from, merge string) {
		at[name] = commit(t, r, git.Commit{Branch: branch, Message: name, Write: files(name, name), From: string(at[from]), Merge: string(at[merge]), When: when(name)})
	}
	add("a", "main", "", "")
	add("b", "main", "", "")
	add("s", "side", "b", "")
	add("t", "side", "", "")
	add("c", "main", "", "")
	add("m", "main", "", "t")
	add("d", "main", "", "")
	x := run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "x", string(at["a"])+"^{tree}")
	if err := r.Push(t.Context(), "ann", "unrelated", x); err != nil {
		t.Fatal(err)
	}
	at["x"] = gitsync.Commit(x)
	return at
}

// catalogue 54, 56
func TestHistoryFollowsParentsWhateverTheDates(t *testing.T) {
	t.Parallel()
	far := []time.Time{time.Unix(1, 0), time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC)}
	for name, when := range map[string]func(string) time.Time{
		"true dates":     func(string) time.Time { return time.Time{} },
		"1970":           func(string) time.Time { return far[0] },
		"2099":           func(string) time.Time { return far[1] },
		"backwards":      func(name string) time.Time { return far[1].AddDate(-strings.Index("abstcmd", name), 0, 0) },
		"to and fro":     func(name string) time.Time { return far[strings.Index("abstcmd", name)%2] },
		"fro and to":     func(name string) time.Time { return far[(strings.Index("abstcmd", name)+1)%2] },
		"old side":       func(name string) time.Time { return far[min(1, len(strings.Trim(name, "st")))] },
		"old main":       func(name string) time.Time { return far[1-min(1, len(strings.Trim(name, "st")))] },
		"base in future": func(name string) time.Time { return far[1-min(1, len(strings.Trim(name, "ab")))] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, r := world(t)
			at := dag(t, r, when)
			m := mirror(t, options(r))
			for _, c := range []struct {
				head, base string
				ancestor   bool
				line       string
			}{
				{"d", "d", true, ""},
				{"d", "m", true, "d"},
				{"d", "c", true, "d m"},
				{"d", "a", true, "d m c b"},
				{"m", "t", true, "m c"}, // by its second parent alone
				{"d", "s", true, "d m c"},
				{"t", "b", true, "t s"},
				{"c", "t", false, "c"}, // side by side
				{"t", "c", false, "t s"},
				{"b", "d", false, ""}, // put back
				{"x", "d", false, "x"},
				{"d", "x", false, "d m c b a"},
			} {
				line := history(t, m, at[c.head], at[c.base])
				var want []gitsync.Commit
				for _, name := range strings.Fields(c.line) {
					want = append(want, at[name])
				}
				if line.Ancestor != c.ancestor || !slices.Equal(ids(line), want) {
					t.Errorf("%s from %s: %v %v; want %v %s of %v", c.head, c.base, line.Ancestor, ids(line), c.ancestor, c.line, at)
				}
			}
		})
	}
}

// catalogue 56: with such dates git itself sends more than it should.
func TestALongOldBranchBesideACommitOfTheFuture(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	future := commit(t, r, git.Commit{Write: files("a", "0"), When: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)})
	base := future
	for i := range 12 {
		base = commit(t, r, git.Commit{Branch: "old", From: string(base), Write: files("b", fmt.Sprint(i)), When: time.Unix(int64(i), 0)})
	}
	head := commit(t, r, git.Commit{Write: files("a", "1"), Merge: "old", When: time.Date(2099, 1, 2, 0, 0, 0, 0, time.UTC)})
	line := history(t, mirror(t, options(r)), head, base)
	if !line.Ancestor || line.Commits[0].Commit != head || len(line.Commits) > 2 {
		t.Errorf("%+v", line)
	}
	beside := commit(t, r, git.Commit{From: string(future), Write: files("a", "2")})
	if line := history(t, mirror(t, options(r)), beside, base); line.Ancestor || line.Commits[0].Commit != beside {
		t.Errorf("%+v", line)
	}
}

// catalogue 54: the server has collected what was rewritten, or is another one.
func TestABaseThatTheServerDoesNotKnowIsNoAncestor(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	commit(t, r, git.Commit{Write: files("a", "1")})
	head := commit(t, r, git.Commit{Write: files("a", "2")})
	line := history(t, mirror(t, options(r)), head, gitsync.Commit(strings.Repeat("ab", 20)))
	if line.Ancestor || len(line.Commits) != 2 || line.Commits[0].Commit != head {
		t.Errorf("%+v", line)
	}
}

func TestTheLineTellsWhatItsCommitsSay(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	base := commit(t, r, git.Commit{Write: files("a", "1")})
	when := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	head := commit(t, r, git.Commit{Author: "ann", Message: "second\n\nbody", When: when, Write: files("a", "2")})
	got := history(t, mirror(t, options(r)), head, base).Commits[0]
	const ann = "ann <ann@users.noreply.github.com>"
	if got.Commit != head || !slices.Equal(got.Parents, []gitsync.Commit{base}) || got.Author != ann || got.Committer != ann ||
		!got.Authored.Equal(when) || !got.Committed.Equal(when) || got.Subject != "second" || got.Signature.Text != "" {
		t.Errorf("%+v", got)
	}
}

func TestHistoryTakesCommitsAloneAndNothingWhereThePushWasSeen(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	m := mirror(t, options(r))
	base := commit(t, r, git.Commit{Write: files("large", strings.Repeat("0123456789abcdef", 1)+fmt.Sprint(time.Now()))})
	fetch(t, m)
	for i := range 3 {
		commit(t, r, git.Commit{Write: files(fmt.Sprint("large", i), strings.Repeat(fmt.Sprintln(i, base), 1000)+random(t))})
	}
	head := fetch(t, m).Commit
	server.ForgetRequests()
	if line := history(t, m, head, base); !line.Ancestor || len(line.Commits) != 3 {
		t.Errorf("%+v", line)
	}
	if n := len(server.Requests()); n != 0 {
		t.Errorf("%d requests for what was seen", n)
	}
	if line := history(t, mirror(t, options(r)), head, base); !line.Ancestor || len(line.Commits) != 3 {
		t.Errorf("%+v", line)
	}
	var sent int64
	for _, q := range server.Requests() {
		sent += q.Bytes
	}
	if n := len(server.Requests()); n != 2 || sent > 4<<10 {
		t.Errorf("%d requests, %d bytes", n, sent)
	}
}

// catalogue 57
func TestALongHistoryIsRefusedUnread(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	base := commit(t, r, git.Commit{Write: files("a", "0")})
	var head gitsync.Commit
	for i := range 4 {
		head = commit(t, r, git.Commit{Write: files("a", fmt.Sprint(i+1))})
	}
	for name, config := range map[string]string{"commits alone": "true", "with files": "false"} {
		run(t, r, "", "config", "uploadpack.allowFilter", config)
		o := options(r)
		o.Limits.History = 4
		if line := history(t, mirror(t, o), head, base); len(line.Commits) != 4 {
			t.Errorf("%s: %+v", name, line)
		}
		o.Limits.History = 3
		var long *gitsync.HistoryTooLong
		if _, err := mirror(t, o).History(t.Context(), head, base); !errors.As(err, &long) || long.Unrelated || long.Hint() == "" || !strings.Contains(long.Error(), "more than 3 commits") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := mirror(t, o).History(t.Context(), head, gitsync.Commit(strings.Repeat("ab", 20))); !errors.As(err, &long) || !long.Unrelated {
			t.Errorf("%s, a base that is unknown: %v", name, err)
		}
	}
	o := options(r)
	o.Limits.Commit = 100
	if _, err := mirror(t, o).History(t.Context(), head, base); !is[*gitsync.TooLarge](err) || !strings.Contains(err.Error(), "100 bytes of one commit object") {
		t.Error(err)
	}
}

func TestAnEarlierCommitIsReadWithItsTree(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a", "1", "same/b", "b"), Message: "first"})
	second := commit(t, r, git.Commit{Write: files("a", "2"), Delete: []string{"same"}})
	third := commit(t, r, git.Commit{Write: files("a", "3", "same/b", "b")})
	for name, m := range map[string]*gogit.Mirror{"before the first fetch": mirror(t, options(r)), "after it": mirror(t, options(r))} {
		if name == "after it" {
			fetch(t, m)
		}
		for id, want := range map[gitsync.Commit]string{first: "1", second: "2", third: "3"} {
			rev, err := m.At(t.Context(), id)
			if err != nil {
				t.Fatal(name, err)
			}
			if rev.Commit != id || content(t, rev, "a") != want {
				t.Errorf("%s: %+v", name, rev)
			}
			if _, there := rev.Tree.Lookup("same/b"); there != (id != second) {
				t.Errorf("%s: same/b is there: %v", want, there)
			}
		}
		if rev := fetch(t, m); rev.Commit != third || content(t, rev, "a") != "3" {
			t.Errorf("%s: the head is %+v", name, rev)
		}
	}
}

func TestACommitThatCannotBeHadIsToldApart(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	gone := commit(t, r, git.Commit{Write: files("a", "1")})
	head := commit(t, r, git.Commit{Write: files("a", "2")})
	// The branch is rewritten, so that nothing leads to the first two any more.
	kept := run(t, r, "", "-c", "user.name=ann", "-c", "user.email=ann@example.org", "commit-tree", "-m", "x", string(head)+"^{tree}")
	if err := r.Push(t.Context(), "ann", "main", kept); err != nil {
		t.Fatal(err)
	}
	m := mirror(t, options(r))
	fetch(t, m)
	var un *gitsync.CommitUnavailable
	for _, id := range []gitsync.Commit{gone, gitsync.Commit(strings.Repeat("ab", 20)), gitsync.Commit(git.Zero)} {
		if _, err := m.At(t.Context(), id); !errors.As(err, &un) || un.Commit != id || un.Hint() == "" {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := m.History(t.Context(), id, gitsync.Commit(kept)); !errors.As(err, &un) {
			t.Errorf("the history of %s: %v", id, err)
		}
	}
	for _, id := range []gitsync.Commit{"", "abcdef1", gitsync.Commit(strings.ToUpper(string(gone))), "main", gone + "0", "--upload-pack=x"} {
		server.ForgetRequests()
		if _, err := m.At(t.Context(), id); err == nil || !strings.Contains(err.Error(), "is no full commit id") {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := m.History(t.Context(), gitsync.Commit(kept), id); err == nil {
			t.Errorf("%q was taken for a base", id)
		}
		if n := len(server.Requests()); n > 0 {
			t.Errorf("%q: %d requests", id, n)
		}
	}
}

// catalogue 42, for git
func TestReadingAsideIsBoundedAndDoesNotHoldUpFetches(t *testing.T) {
	t.Parallel()
	server, r := world(t)
	first := commit(t, r, git.Commit{Write: files("a", "1")})
	head := commit(t, r, git.Commit{Write: files("a", "2")})
	m := mirror(t, options(r))
	fetch(t, m)
	// The first request asks what the server offers; the second one hangs.
	heal := server.Fail(git.Match{Service: "upload-pack"}, git.Fault{Hang: true, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 2)
	go func() {
		_, err := m.At(ctx, first)
		given <- err
	}()
	wait(t, m.Aside)
	go func() {
		_, err := m.History(ctx, head, first)
		given <- err
	}()
	fetch(t, m)
	cancel()
	for range 2 {
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	heal()
	o := options(r)
	o.Timeout = 50 * time.Millisecond
	m = mirror(t, o)
	server.Fail(git.Match{}, git.Fault{Hang: true})
	if _, err := m.At(t.Context(), first); err == nil || !strings.Contains(err.Error(), "no complete answer within 50ms") {
		t.Error(err)
	}
	if _, err := m.History(t.Context(), head, first); err == nil || !strings.Contains(err.Error(), "no complete answer within 50ms") {
		t.Error(err)
	}
}

func TestWordsAreReadWhereverTheyStand(t *testing.T) {
	t.Parallel()
	_, r := world(t)
	base := commit(t, r, git.Commit{Write: files("a", "1")})
	head := commit(t, r, git.Commit{Write: files("a", "2"), Message: "web: remove the old queue\n\n" +
		"Pawl-Prune: production/web 41\r\npawl-prune:dev 7\n> Pawl-Prune: quoted 1\n Pawl-Prune: indented 1\nPawl Prune: no 1\n\n* Pawl-Prune: listed 1\n\n" +
		strings.Repeat("x", 400) + "\nPawl-Other-Word:  some thing \n\nCo-authored-by: Bea <bea@example.org>\n"})
	m := mirror(t, options(r))
	want := []gitsync.Word{{Key: "prune", Value: "production/web 41"}, {Key: "prune", Value: "dev 7"}, {Key: "other-word", Value: "some thing"}}
	if got := history(t, m, head, base).Commits[0].Words; !slices.Equal(got, want) {
		t.Errorf("the line has %+v", got)
	}
	if got := fetch(t, m).Words; !slices.Equal(got, want) {
		t.Errorf("the revision has %+v", got)
	}
}
