package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func load4test(t testing.TB) *Contract {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// wants fails unless err says want; an empty want means no error at all.
func wants(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted; want %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("got %q, want %q in it", err, want)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	const checks, statuses = "/repos/o/r/check-runs", "/repos/o/r/statuses/abc"
	long := strings.Repeat
	for name, tt := range map[string]struct{ method, path, body, want string }{
		"a completed check run":                   {"POST", checks, `{"name":"pawl","head_sha":"abc","status":"completed","conclusion":"success"}`, ""},
		"a running check run":                     {"POST", checks, `{"name":"pawl","head_sha":"abc","status":"in_progress"}`, ""},
		"a check run without name":                {"POST", checks, `{"head_sha":"abc"}`, `property "name" is missing`},
		"a check run with a number for a name":    {"POST", checks, `{"name":1,"head_sha":"abc"}`, "/name: value must be a string"},
		"an unknown conclusion":                   {"POST", checks, `{"name":"n","head_sha":"abc","conclusion":"banana"}`, "/conclusion"},
		"completed without conclusion":            {"POST", checks, `{"name":"n","head_sha":"abc","status":"completed"}`, "/conclusion: is required"},
		"completed_at without conclusion":         {"PATCH", checks + "/1", `{"completed_at":"2026-11-20T10:00:00Z"}`, "/conclusion: is required"},
		"a time that is none":                     {"POST", checks, `{"name":"n","head_sha":"abc","started_at":"yesterday"}`, "/started_at"},
		"a summary of 65,536 characters":          {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"` + long("x", 65536) + `"}}`, "/output/summary"},
		"a summary of 65,535 characters":          {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"` + long("x", 65535) + `"}}`, ""},
		"a summary of 65,536 bytes":               {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"` + long("é", 32768) + `"}}`, "/output/summary: 65536 bytes"},
		"51 annotations":                          {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"s","annotations":[` + long(annotation+",", 50) + annotation + `]}}`, "/output/annotations"},
		"50 annotations":                          {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"s","annotations":[` + long(annotation+",", 49) + annotation + `]}}`, ""},
		"4 actions":                               {"POST", checks, `{"name":"n","head_sha":"abc","actions":[` + long(action+",", 3) + action + `]}`, "/actions"},
		"3 actions":                               {"POST", checks, `{"name":"n","head_sha":"abc","actions":[` + long(action+",", 2) + action + `]}`, ""},
		"an action with a long label":             {"POST", checks, `{"name":"n","head_sha":"abc","actions":[{"label":"` + long("x", 32) + `","description":"d","identifier":"i"}]}`, "/actions/0/label"},
		"a misspelled field":                      {"POST", checks, `{"name":"n","head_sha":"abc","conclusoin":"success"}`, "/conclusoin: the field is not described"},
		"a misspelled field further in":           {"POST", checks, `{"name":"n","head_sha":"abc","output":{"title":"t","summary":"s","txt":""}}`, "/output/txt: the field is not described"},
		"a status":                                {"POST", statuses, `{"state":"success","context":"pawl","description":"` + long("é", 140) + `"}`, ""},
		"a status with 141 characters":            {"POST", statuses, `{"state":"success","description":"` + long("x", 141) + `"}`, "/description: 141 characters, at most 140"},
		"an unknown state":                        {"POST", statuses, `{"state":"great"}`, "/state"},
		"a deployment status with 141 characters": {"POST", "/repos/o/r/deployments/1/statuses", `{"state":"success","description":"` + long("x", 141) + `"}`, "/description: 141"},
		"a pull request":                          {"POST", "/repos/o/r/pulls", `{"title":"t","head":"h","base":"b"}`, ""},
		"a pull request without title":            {"POST", "/repos/o/r/pulls", `{"head":"h","base":"b"}`, "/title: is required"},
		"a short ref":                             {"POST", "/repos/o/r/git/refs", `{"ref":"heads/main","sha":"abc"}`, "/ref: must start"},
		"a body where none is described":          {"POST", "/repos/o/r/check-runs/1/rerequest", `{"a":1}`, "request body not allowed"},
		"a body that is not JSON":                 {"POST", statuses, `{`, "unexpected EOF"},
		"no body where one is required":           {"POST", statuses, ``, "required"},
		"labels as a list":                        {"POST", "/repos/o/r/issues/1/labels", `["a"]`, ""},
		"labels as a list of numbers":             {"POST", "/repos/o/r/issues/1/labels", `[1]`, "/labels/0"},
		"a query":                                 {"GET", "/repos/o/r/pulls?state=open&head=o:h&per_page=100", "", ""},
		"a query of the wrong type":               {"GET", "/repos/o/r/pulls?per_page=many", "", "per_page"},
		"a query nobody described":                {"GET", "/repos/o/r/pulls?brnch=x", "", `query parameter "brnch" is not described`},
		"a number that is none":                   {"GET", "/repos/o/r/pulls/one", "", "pull_number"},
		"a route GitHub does not have":            {"GET", "/repos/o/r/secrets-of-everybody", "", "GitHub does not describe"},
		"a method GitHub does not have":           {"PUT", "/repos/o/r/pulls", "", "only GET, POST"},
		"the path of GitHub Enterprise":           {"GET", "/api/v3/repos/o/r", "", ""},
		"a nested ref":                            {"GET", "/repos/o/r/git/ref/heads/release/1.2", "", ""},
		"all matching refs":                       {"GET", "/repos/o/r/git/matching-refs/", "", ""},
		"a nested branch":                         {"GET", "/repos/o/r/branches/release/1.2/protection", "", ""},
		"an escaped branch":                       {"GET", "/repos/o/r/rules/branches/release%2F1.2", "", ""},
		"a nested file":                           {"GET", "/repos/o/r/contents/env/prod/kustomization.yaml?ref=main", "", ""},
		"the root folder":                         {"GET", "/repos/o/r/contents/", "", ""},
		"a comparison of nested branches":         {"GET", "/repos/o/r/compare/a/b...c/d", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants(t, load4test(t).CheckRequest(request(tt.method, tt.path, tt.body), []byte(tt.body)), tt.want)
		})
	}
}

const (
	annotation = `{"path":"a","start_line":1,"end_line":1,"annotation_level":"notice","message":"m"}`
	action     = `{"label":"l","description":"d","identifier":"i"}`
)

func TestResponses(t *testing.T) {
	t.Parallel()
	const ref = `{"ref":"refs/heads/main","node_id":"n","url":"https://api.github.com/x","object":{"type":"commit","sha":"aa218f56b14c9653891f9e74264a383fa43fefbd","url":"https://api.github.com/y"}}`
	const refused = `{"message":"Not Found","documentation_url":"https://docs.github.com/rest","status":"404"}`
	const path = "/repos/o/r/git/ref/heads/main"
	for name, tt := range map[string]struct {
		method, path, accept string
		status               int
		contentType, body    string
		want                 string
	}{
		"a ref":                             {"GET", path, "", 200, "application/json; charset=utf-8", ref, ""},
		"a ref without object":              {"GET", path, "", 200, "application/json", `{"ref":"r","node_id":"n","url":"https://a/b"}`, `property "object" is missing`},
		"a field nobody described":          {"GET", path, "", 200, "application/json", strings.Replace(ref, `"ref":`, `"rev":"x","ref":`, 1), "/rev: the field is not described"},
		"a success GitHub does not have":    {"GET", path, "", 202, "application/json", ref, "status is not supported"},
		"text for JSON":                     {"GET", path, "", 200, "text/plain", ref, "Content-Type"},
		"a check run of almost nothing":     {"POST", "/repos/o/r/check-runs", "", 201, "application/json", `{"id":1}`, "is missing"},
		"a described refusal":               {"GET", path, "", 404, "application/json; charset=utf-8", refused, ""},
		"a refusal described nowhere":       {"GET", path, "", 401, "application/json", refused, ""},
		"a refusal without message":         {"GET", path, "", 404, "application/json", `{"documentation_url":"u"}`, "/message"},
		"a refusal without a link":          {"GET", path, "", 429, "application/json", `{"message":"slow down"}`, "/documentation_url"},
		"a refusal in plain text":           {"GET", path, "", 404, "text/plain", "404 page not found", "an error is application/json"},
		"a validation error":                {"POST", "/repos/o/r/pulls", "", 422, "application/json", `{"message":"Validation Failed","documentation_url":"u","errors":[{"resource":"PullRequest","code":"custom","message":"A pull request already exists for o:h."}]}`, ""},
		"a validation error without code":   {"POST", "/repos/o/r/pulls", "", 422, "application/json", `{"message":"Validation Failed","documentation_url":"u","errors":[{"resource":"PullRequest"}]}`, "code"},
		"a broken gateway":                  {"GET", path, "", 502, "text/html", "<html>", ""},
		"nothing":                           {"DELETE", "/repos/o/r/git/refs/heads/a/b", "", 204, "", "", ""},
		"nothing, with a body":              {"DELETE", "/repos/o/r/git/refs/heads/a/b", "", 204, "", "{}", "must have no body"},
		"not modified":                      {"GET", path, "", 304, "", "", ""},
		"a diff that was asked for":         {"GET", "/repos/o/r/pulls/1", "application/vnd.github.v3.diff", 200, "application/vnd.github.v3.diff; charset=utf-8", "diff --git", ""},
		"a diff that was not asked for":     {"GET", "/repos/o/r/pulls/1", "application/json", 200, "application/vnd.github.diff", "diff --git", "Content-Type"},
		"a redelivery":                      {"POST", "/repos/o/r/hooks/1/deliveries/2/attempts", "", 202, "application/json", `{}`, ""},
		"a completed run without end":       {"PATCH", "/repos/o/r/check-runs/1", "", 200, "application/json", `{"status":"completed","conclusion":null}`, "/conclusion: <nil> does not go with status completed"},
		"a list with a run that has no end": {"GET", "/repos/o/r/commits/main/check-runs", "", 200, "application/json", `{"check_runs":[{"status":"queued","conclusion":"success"}]}`, "/check_runs/0/conclusion"},
		"a route GitHub does not have":      {"GET", "/nowhere", "", 404, "application/json", refused, "GitHub does not describe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := request(tt.method, tt.path, "")
			r.Header.Set("Accept", tt.accept)
			err := load4test(t).CheckResponse(r, tt.status, http.Header{"Content-Type": {tt.contentType}}, []byte(tt.body))
			wants(t, err, tt.want)
		})
	}
}

// The more exact path wins, and only an escaped slash hides a path from it.
func TestRoutesOfNestedNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/repos/o/r/commits/main":                 repo + "/commits/{ref}",
		"/repos/o/r/commits/feature/x/status":     repo + "/commits/{ref}/status",
		"/repos/o/r/commits/feature%2Fstatus":     repo + "/commits/{ref}",
		"/repos/o/r/commits/feature/x/check-runs": repo + "/commits/{ref}/check-runs",
		"/repos/o/r/commits/abc/pulls":            repo + "/commits/{commit_sha}/pulls",
		"/repos/o/r/branches/a/protection":        repo + "/branches/{branch}/protection",
		"/repos/o/r/branches/a%2Fprotection":      repo + "/branches/{branch}",
		"/repos/o/r/contents/commits/x/status":    repo + "/contents/{path}",
	} {
		got, _, err := load4test(t).find(request("GET", path, ""))
		if err != nil || got.template != want {
			t.Errorf("%s: got %s, %v; want %s", path, got.template, err, want)
		}
	}
}

// The whole cut keeps to OpenAPI: a reference that the cut lost would show here.
func TestTheCutIsValid(t *testing.T) {
	t.Parallel()
	if err := load4test(t).doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is embedded is what update.sh made: nobody bent the description by hand.
func TestTheCutIsNotEdited(t *testing.T) {
	t.Parallel()
	sources, err := os.ReadFile("SOURCES")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"github.json.gz", "webhooks.json.gz", "testdata/github-examples.json.gz", "testdata/webhooks-examples.json.gz",
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if !strings.Contains(string(sources), hex.EncodeToString(sum[:])+"  "+name+"\n") {
			t.Errorf("%s is not what SOURCES says; run update.sh", name)
		}
	}
}

func BenchmarkCheckRequest(b *testing.B) {
	c := load4test(b)
	body := `{"name":"pawl","head_sha":"abc","status":"completed","conclusion":"success"}`
	for b.Loop() {
		if err := c.CheckRequest(request("POST", "/repos/o/r/check-runs", body), []byte(body)); err != nil {
			b.Fatal(err)
		}
	}
}
