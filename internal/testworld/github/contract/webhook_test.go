package contract

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// delivery returns headers as GitHub sends them.
func delivery(event string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"User-Agent":                             "GitHub-Hookshot/044aadd",
		"Content-Type":                           "application/json",
		"X-GitHub-Hook-ID":                       "292430182",
		"X-GitHub-Event":                         event,
		"X-GitHub-Hook-Installation-Target-ID":   "79929171",
		"X-GitHub-Hook-Installation-Target-Type": "repository",
		"X-GitHub-Delivery":                      "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		"X-Hub-Signature-256":                    "sha256=" + strings.Repeat("ab", 32),
	} {
		h.Set(name, value)
	}
	return h
}

// push is a push to main, made from GitHub's own example of a repository.
func push(t testing.TB) map[string]any {
	t.Helper()
	for _, e := range examples(t, "testdata/webhooks-examples.json.gz") {
		if e.Path != "check-run-created" {
			continue
		}
		var from map[string]any
		if err := json.Unmarshal(e.Value, &from); err != nil {
			t.Fatal(err)
		}
		repository := from["repository"].(map[string]any)
		for field, value := range map[string]any{ // newer than the example
			"custom_properties": map[string]any{}, "has_discussions": false, "topics": []any{}, "visibility": "private",
		} {
			repository[field] = value
		}
		person := map[string]any{"name": "Pawl", "email": "49699333+pawl[bot]@users.noreply.github.com", "username": "pawl[bot]"}
		commit := map[string]any{
			"id": "a", "tree_id": "b", "distinct": true, "message": "m", "timestamp": "2026-11-20T10:00:00+01:00",
			"url": "https://github.com/o/r/commit/a", "author": person, "committer": person,
			"added": []any{"a.yaml"}, "removed": []any{}, "modified": []any{},
		}
		return map[string]any{
			"ref": "refs/heads/main", "before": "x", "after": "a", "created": false, "deleted": false, "forced": false,
			"base_ref": nil, "compare": "https://github.com/o/r/compare/x...a", "commits": []any{commit}, "head_commit": commit,
			"pusher": person, "repository": repository, "sender": from["sender"],
		}
	}
	t.Fatal("no example of a repository")
	return nil
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bend func(header http.Header, payload map[string]any)
		want string
	}{
		"a push":                         {func(http.Header, map[string]any) {}, ""},
		"a push without commits":         {func(_ http.Header, p map[string]any) { delete(p, "commits") }, "missing property 'commits'"},
		"a push without pusher":          {func(_ http.Header, p map[string]any) { delete(p, "pusher") }, "missing property 'pusher'"},
		"a ref that is a number":         {func(_ http.Header, p map[string]any) { p["ref"] = 1 }, "/ref: "},
		"a field nobody described":       {func(_ http.Header, p map[string]any) { p["branch"] = "main" }, "/branch: the field is not described"},
		"a commit whose time is none":    {func(_ http.Header, p map[string]any) { p["head_commit"].(map[string]any)["timestamp"] = "now" }, "/head_commit/timestamp"},
		"an action no push has":          {func(_ http.Header, p map[string]any) { p["action"] = "opened" }, `"push-opened"`},
		"no signature":                   {func(h http.Header, _ map[string]any) { h.Del("X-Hub-Signature-256") }, "X-Hub-Signature-256"},
		"a delivery that is a counter":   {func(h http.Header, _ map[string]any) { h.Set("X-GitHub-Delivery", "7") }, "X-GitHub-Delivery"},
		"another event in the header":    {func(h http.Header, _ map[string]any) { h.Set("X-GitHub-Event", "ping") }, `the event is "push"`},
		"no hook id":                     {func(h http.Header, _ map[string]any) { h.Del("X-GitHub-Hook-ID") }, "X-GitHub-Hook-ID"},
		"a content type nobody can read": {func(h http.Header, _ map[string]any) { h.Set("Content-Type", "text/plain") }, "neither JSON nor a form"},
		"a payload above the cap":        {func(_ http.Header, p map[string]any) { p["ref"] = strings.Repeat("x", maxWebhook) }, "does not deliver more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, payload := delivery("push"), push(t)
			payload["head_commit"] = maps.Clone(payload["head_commit"].(map[string]any))
			tt.bend(header, payload)
			body, err := json.Marshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			wants(t, load4test(t).CheckWebhook("push", header, body), tt.want)
		})
	}
}

func TestWebhookAsAForm(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(push(t))
	if err != nil {
		t.Fatal(err)
	}
	header := delivery("push")
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	wants(t, load4test(t).CheckWebhook("push", header, []byte(url.Values{"payload": {string(body)}}.Encode())), "")
	wants(t, load4test(t).CheckWebhook("push", header, body), "not JSON")
}

func TestGitHubsOwnWebhookExamples(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t, "testdata/webhooks-examples.json.gz") {
		event, _, _ := strings.Cut(strings.Replace(e.Path, "check-run", "check_run", 1), "-")
		for _, problem := range load4test(t).checkPayload(event, "application/json", e.Value) {
			// The only thing in GitHub's examples that its schema does not know.
			if problem != "/check_run/check_suite/deployment: the field is not described" {
				t.Errorf("%s: %s", e.Path, problem)
			}
		}
	}
}

// Every webhook kept has a schema that compiles.
func TestEveryWebhookSchemaCompiles(t *testing.T) {
	t.Parallel()
	hooks, err := loadWebhooks()
	if err != nil {
		t.Fatal(err)
	}
	for name := range hooks.doc.Webhooks {
		if _, _, err := hooks.schema(name); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkCheckWebhook(b *testing.B) {
	c := load4test(b)
	body, err := json.Marshal(push(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.CheckWebhook("push", delivery("push"), body); err != nil {
			b.Fatal(err)
		}
	}
}
