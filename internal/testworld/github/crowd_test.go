package github

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	gogithub "github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

func TestManyAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	const people = 6
	url := w.hooks[0].url
	work := func(i int) error {
		branch := fmt.Sprintf("branch-%d", i)
		sha, err := w.ann.Push(ctx, shop, git.Commit{Branch: branch, From: "main", Write: map[string]string{branch: "x\n"}})
		if err != nil {
			return err
		}
		n, err := w.ann.OpenPull(ctx, shop, branch, "main", branch, "")
		if err != nil {
			return err
		}
		if _, _, err := w.bot.Checks.CreateCheckRun(ctx, "acme", "shop", gogithub.CreateCheckRunOptions{Name: branch, HeadSHA: sha, Conclusion: gogithub.String("success")}); err != nil {
			return err
		}
		if response, err := http.Get(w.URL() + "/acme/shop"); err != nil || response.Body.Close() != nil {
			return fmt.Errorf("the page: %w", err)
		}
		w.SetAppHook(w.app.ID, url, secret)
		_, err = w.bob.Merge(ctx, shop, n, "squash")
		return err
	}
	var group sync.WaitGroup
	failed := make(chan error, people)
	for i := range people {
		group.Go(func() {
			if err := work(i); err != nil {
				failed <- err
			}
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	files, err := w.repo.Files(ctx, "main")
	if w.must(err); len(files) != people+1 {
		t.Errorf("main has %v", files)
	}
	closed := 0
	for _, e := range w.heard("pull_request") {
		if e.Action == "closed" && e.Payload["pull_request"].(map[string]any)["merged"] == true {
			closed++
		}
	}
	if closed != people {
		t.Errorf("%d merges were heard of, want %d", closed, people)
	}
}
