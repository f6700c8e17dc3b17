package github

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gogithub "github.com/google/go-github/v60/github"
)

func TestTheSignatureIsGitHubs(t *testing.T) {
	t.Parallel()
	// The vector of docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
	if got := Sign(secret, []byte("Hello, World!")); got != "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" {
		t.Error(got)
	}
}

func TestAWebhookIsSignedAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	sha := w.push("main", map[string]string{"a.txt": "one\n", "dir/b.txt": "two\n"})
	heard := w.heard("push")
	if len(heard) != 1 || heard[0].Payload["after"] != sha || Sign(secret, heard[0].Body) != heard[0].Signature {
		t.Fatalf("heard %v", heard)
	}
	parsed, err := gogithub.ParseWebHook("push", heard[0].Body)
	w.must(err)
	if push := parsed.(*gogithub.PushEvent); strings.Join(push.HeadCommit.Added, " ") != "a.txt dir/b.txt" || push.GetPusher().GetName() != "ann" {
		t.Errorf("pushed %v", push)
	}

	app := w.appClient(w.byKey, nil)
	log, _, err := app.Apps.ListHookDeliveries(ctx, nil)
	w.must(err)
	var delivery *gogithub.HookDelivery
	for _, d := range log {
		if d.GetEvent() == "push" {
			delivery = d
		}
	}
	if delivery.GetGUID() != heard[0].GUID || delivery.GetStatusCode() != 200 {
		t.Errorf("the log has %v", delivery)
	}
	whole, _, err := app.Apps.GetHookDelivery(ctx, delivery.GetID())
	if w.must(err); whole.Request == nil || string(*whole.Request.RawPayload) != string(heard[0].Body) {
		t.Error("the log has another payload")
	}
	_, response, _ := app.Apps.RedeliverHookDelivery(ctx, delivery.GetID())
	if response.StatusCode != 202 {
		t.Errorf("the redelivery answered %d", response.StatusCode)
	}
	again := w.heard("push")
	if len(again) != 2 || again[1].GUID != again[0].GUID || string(again[1].Body) != string(again[0].Body) {
		t.Errorf("heard %d pushes", len(again))
	}
}

func TestWebhooksDroppedDoubledAndReordered(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	afters := func() string {
		var out []string
		for _, e := range w.heard("push") {
			out = append(out, e.Payload["after"].(string)[:6])
		}
		w.forget()
		return strings.Join(out, " ")
	}
	push := func(text string) string { return w.push("main", map[string]string{"a.txt": text})[:6] }

	w.FailWebhooks(WebhookMatch{Event: "push"}, WebhookFault{Drop: true, Times: 1})
	push("dropped")
	two := push("two")
	if got := afters(); got != two {
		t.Errorf("dropped: heard %s, want %s", got, two)
	}
	heal := w.FailWebhooks(WebhookMatch{Event: "push"}, WebhookFault{Double: true})
	three := push("three")
	if got := afters(); got != three+" "+three {
		t.Errorf("doubled: heard %s, want %s twice", got, three)
	}
	heal()
	heal = w.FailWebhooks(WebhookMatch{Event: "push"}, WebhookFault{Reorder: true, Times: 1})
	four := push("four")
	five := push("five")
	if got := afters(); got != five+" "+four {
		t.Errorf("reordered: heard %s, want %s %s", got, five, four)
	}
	heal()
	w.FailWebhooks(WebhookMatch{Event: "push"}, WebhookFault{Delay: 20 * time.Millisecond, Times: 1})
	six := push("six")
	if got := afters(); got != six {
		t.Errorf("delayed: heard %s, want %s", got, six)
	}
}

func TestARepositorysHookHearsWhatItAskedFor(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	receiver := &listener{answer: 500}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	id, err := w.AddHook(shop, server.URL, "s3cret", "pull_request")
	w.must(err)
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("bump", map[string]string{"a.txt": "two\n"})
	_, err = w.ann.OpenPull(t.Context(), shop, "bump", "main", "bump", "")
	w.must(err)
	w.must(w.Quiet(t.Context()))
	var names []string
	for _, e := range receiver.events {
		names = append(names, e.Name+"."+e.Action)
	}
	if got := strings.Join(names, " "); got != "ping. pull_request.opened" {
		t.Errorf("heard %s", got)
	}
	w.must(w.SetRole(shop, "ann", "admin"))
	log, _, err := w.ann.API().Repositories.ListHookDeliveries(t.Context(), "acme", "shop", id, nil)
	if w.must(err); len(log) != 2 || log[0].GetStatusCode() != 500 {
		t.Errorf("the log is %v", log)
	}
	made, _, err := w.ann.API().Repositories.CreateHook(t.Context(), "acme", "shop", &gogithub.Hook{
		Events: []string{"push"}, Config: &gogithub.HookConfig{URL: gogithub.String(server.URL + "/two"), ContentType: gogithub.String("json")},
	})
	if w.must(err); made.GetConfig().GetSecret() != "" {
		t.Errorf("made %v", made)
	}
	_, err = w.ann.API().Repositories.DeleteHook(t.Context(), "acme", "shop", made.GetID())
	w.must(err)
}

func TestAGitPushMovesAPullRequest(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("bump", map[string]string{"a.txt": "two\n"})
	n, err := w.ann.OpenPull(t.Context(), shop, "bump", "main", "bump", "")
	w.must(err)
	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=bob", "-c", "user.email=bob@example.com"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("clone", "-q", "-b", "bump", w.bob.CloneURL(shop), dir)
	run("-C", dir, "commit", "-q", "--allow-empty", "-m", "by git")
	run("-C", dir, "push", "-q", "origin", "bump")
	head := run("-C", dir, "rev-parse", "HEAD")
	if got := w.pull(n).GetHead().GetSHA(); got != head {
		t.Errorf("the head is %s, want %s", got, head)
	}
	heard := w.heard("pull_request")
	last := heard[len(heard)-1]
	if last.Action != "synchronize" || last.Payload["after"] != head || last.Payload["sender"].(map[string]any)["login"] != "bob" {
		t.Errorf("heard %s after %v", last.Action, last.Payload["after"])
	}
	// Pushed to the base by hand, the head counts as merged.
	run("-C", dir, "push", "-q", "origin", "bump:main")
	if p := w.pull(n); !p.GetMerged() || p.GetMergedBy().GetLogin() != "bob" {
		t.Errorf("after the push to main: %v", p)
	}
}

func TestAPullRequestWhoseBranchGoesIsClosed(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	w.branchOff("bump", map[string]string{"a.txt": "two\n"})
	n, err := w.ann.OpenPull(ctx, shop, "bump", "main", "bump", "")
	w.must(err)
	_, err = w.bot.Git.DeleteRef(ctx, "acme", "shop", "heads/bump")
	w.must(err)
	if p := w.pull(n); p.GetState() != "closed" || p.GetMerged() {
		t.Errorf("after the branch was deleted: %v", p)
	}
	if heard := w.heard("delete"); len(heard) != 1 || heard[0].Payload["ref"] != "bump" {
		t.Errorf("heard %v", heard)
	}
}
