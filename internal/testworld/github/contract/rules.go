package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

const repo = "/repos/{owner}/{repo}"

// requestRules are GitHub's refusals that its description does not contain.
func requestRules(f found, value any) []string {
	body, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	var out []string
	switch {
	case f.is("POST", repo+"/statuses/{sha}"):
		// "description is too long (maximum is 140 characters)": a real answer,
		// github.com/sclorg/testing-farm-as-github-action/issues/187.
		out = append(out, atMost(140, body, "description")...)

	case f.is("POST", repo+"/deployments/{deployment_id}/statuses"):
		// "The maximum description length is 140 characters."
		// docs.github.com/rest/deployments/statuses#create-a-deployment-status
		out = append(out, atMost(140, body, "description")...)

	case f.is("POST", repo+"/check-runs"), f.is("PATCH", repo+"/check-runs/{check_run_id}"):
		// "conclusion: Required if you provide completed_at or a status of
		// completed." docs.github.com/rest/checks/runs#create-a-check-run
		// The schema means to say so, but its anyOf lets it pass.
		if body["conclusion"] == nil && (body["status"] == "completed" || body["completed_at"] != nil) {
			out = append(out, `/conclusion: is required when status is "completed" or completed_at is given`)
		}
		output, _ := body["output"].(map[string]any)
		// Bytes, where the description says characters: "summary exceeds a
		// maximum bytesize of 65535", a real answer, github.com/github/docs/issues/35252.
		out = append(out, bytesAtMost(65535, output, "summary")...)
		out = append(out, bytesAtMost(65535, output, "text")...)

	case f.is("POST", repo+"/pulls"):
		// "title: Required unless issue is specified."
		// docs.github.com/rest/pulls/pulls#create-a-pull-request
		if body["title"] == nil && body["issue"] == nil {
			out = append(out, "/title: is required unless issue is given")
		}

	case f.is("POST", repo+"/git/refs"):
		// "If it doesn't start with 'refs' and have at least two slashes, it
		// will be rejected." docs.github.com/rest/git/refs#create-a-reference
		if ref, _ := body["ref"].(string); !strings.HasPrefix(ref, "refs/") || strings.Count(ref, "/") < 2 {
			out = append(out, `/ref: must start with "refs/" and have two slashes, as refs/heads/main`)
		}
	}
	return out
}

// describedForm rewrites a body in a form that GitHub takes and its schema does
// not have: labels as a plain list, which is what go-github sends. Prose says
// "you can pass [...] an array of labels directly"; @octokit/openapi 16.6.0.
func describedForm(f found, body []byte) []byte {
	labels := repo + "/issues/{issue_number}/labels"
	if (f.is("POST", labels) || f.is("PUT", labels)) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return fmt.Appendf(nil, `{"labels":%s}`, body)
	}
	// ghinstallation sends null for "no narrowing", and github.com answers it.
	if f.is("POST", "/app/installations/{installation_id}/access_tokens") && string(bytes.TrimSpace(body)) == "null" {
		return []byte("{}")
	}
	return body
}

// responseRules are what GitHub's answers keep to beyond its description.
func responseRules(f found, status int, value any) []string {
	if status >= 300 {
		return nil
	}
	var out []string
	switch {
	case f.is("POST", repo+"/check-runs"), strings.HasPrefix(f.template, repo+"/check-runs/{check_run_id}"),
		f.is("GET", repo+"/commits/{ref}/check-runs"), f.is("GET", repo+"/check-suites/{check_suite_id}/check-runs"):
		// A run has a conclusion if and only if it is completed.
		// docs.github.com/rest/guides/using-the-rest-api-to-interact-with-checks
		for at, run := range each(value, "check_runs") {
			if run["status"] != nil && (run["status"] == "completed") != (run["conclusion"] != nil) {
				out = append(out, at+fmt.Sprintf("/conclusion: %v does not go with status %v", run["conclusion"], run["status"]))
			}
		}
	case strings.HasPrefix(f.template, repo+"/statuses/"), strings.HasPrefix(f.template, repo+"/commits/{ref}/status"):
		for at, s := range each(value, "statuses") {
			for _, problem := range atMost(140, s, "description") {
				out = append(out, at+problem)
			}
		}
	}
	return out
}

// each yields the objects of an answer: itself, its items, or those in list.
func each(value any, list string) map[string]map[string]any {
	out := map[string]map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		if inner, ok := value[list]; ok {
			for at, item := range each(inner, list) {
				out["/"+list+at] = item
			}
			return out
		}
		out[""] = value
	case []any:
		for i, item := range value {
			if object, ok := item.(map[string]any); ok {
				out[fmt.Sprintf("/%d", i)] = object
			}
		}
	}
	return out
}

func atMost(limit int, object map[string]any, field string) []string {
	text, _ := object[field].(string)
	if n := utf8.RuneCountInString(text); n > limit {
		return []string{fmt.Sprintf("/%s: %d characters, at most %d are taken", field, n, limit)}
	}
	return nil
}

func bytesAtMost(limit int, output map[string]any, field string) []string {
	text, _ := output[field].(string)
	if len(text) > limit {
		return []string{fmt.Sprintf("/output/%s: %d bytes, at most %d are taken", field, len(text), limit)}
	}
	return nil
}

// errorShape: every refusal has a message and a link to the page about it.
// docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
func errorShape(header http.Header, body []byte) []string {
	var said struct {
		Message          *string `json:"message"`
		DocumentationURL *string `json:"documentation_url"`
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		return []string{fmt.Sprintf("an error is application/json, not %q", header.Get("Content-Type"))}
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return []string{fmt.Sprintf("an error is an object with a message: %v", err)}
	}
	var out []string
	if said.Message == nil || *said.Message == "" {
		out = append(out, "/message: an error must have one")
	}
	if said.DocumentationURL == nil || *said.DocumentationURL == "" {
		out = append(out, "/documentation_url: an error must have one")
	}
	return out
}

// otherMediaType reports whether the answer is one of the formats that must be
// asked for and that the description mentions in prose only.
// docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types
func otherMediaType(f found, r *http.Request, header http.Header) bool {
	formats := map[string][]string{
		repo + "/pulls/{pull_number}":  {"diff", "patch"},
		repo + "/commits/{ref}":        {"diff", "patch", "sha"},
		repo + "/compare/{basehead}":   {"diff", "patch"},
		repo + "/contents/{path}":      {"raw", "html"},
		repo + "/git/blobs/{file_sha}": {"raw"},
	}
	if f.method != http.MethodGet {
		return false
	}
	for _, format := range formats[f.template] {
		if asksFor(format, r.Header.Get("Accept")) && asksFor(format, header.Get("Content-Type")) {
			return true
		}
	}
	return false
}

func asksFor(format, mediaType string) bool {
	name := strings.TrimSuffix(strings.TrimSpace(strings.SplitN(mediaType, ";", 2)[0]), "+json")
	return name == "application/vnd.github."+format || name == "application/vnd.github.v3."+format
}
