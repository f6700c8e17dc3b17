package policies_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// catalogue 122
func TestAPolicyThatDoesNotAnswerDenies(t *testing.T) {
	t.Parallel()
	pods := policies.PolicyResult{Policy: "restricted-pods"}
	with := func(edit func(*policies.PolicyResult)) policies.PolicyResult {
		r := pods
		edit(&r)
		return r
	}
	denying := with(func(r *policies.PolicyResult) {
		r.Denied = []policies.PolicyMessage{{Rule: "deny", Text: "must not run as root", Object: "Deployment shop/web"}}
	})
	tests := []struct {
		because string
		results []policies.PolicyResult
		refused string
	}{
		{"it has nothing to say", []policies.PolicyResult{pods}, ""},
		{"it warns", []policies.PolicyResult{with(func(r *policies.PolicyResult) { r.Warned = []policies.PolicyMessage{{Text: "no limits"}} })}, ""},
		{"it was not evaluated", nil, "policy restricted-pods was not evaluated"},
		{"another one was evaluated", []policies.PolicyResult{{Policy: "restricted-pods-2"}}, "policy restricted-pods was not evaluated"},
		{"it has a problem", []policies.PolicyResult{with(func(r *policies.PolicyResult) { r.Problem = "deny is undefined" })}, "policy restricted-pods gave no answer: deny is undefined"},
		{"it denies", []policies.PolicyResult{denying}, "policy restricted-pods denies Deployment shop/web: must not run as root (rule deny, apps/web/deployment.yaml:7)"},
		{"it denies without a text", []policies.PolicyResult{with(func(r *policies.PolicyResult) { r.Denied = []policies.PolicyMessage{{}} })}, "policy restricted-pods denies: without saying why"},
		{"one good result does not outweigh a bad one", []policies.PolicyResult{pods, denying}, "must not run as root"},
		{"one that nobody demanded denies too", []policies.PolicyResult{pods, {Policy: "network", Problem: "took too long"}}, "policy network gave no answer: took too long"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			release := releaseOf()
			release.Places = map[string]render.Place{"Deployment shop/web": {File: "apps/web/deployment.yaml", Line: 7}}
			_, err := policies.Judge(release, policies.Demands{Policies: []string{"restricted-pods"}}, policies.Findings{Policies: tt.results})
			if err == nil {
				expect(t, "", tt.refused)
				return
			}
			expect(t, err.Error(), tt.refused)
		})
	}
}

func TestWarningsAreKeptAndCannotBeChanged(t *testing.T) {
	t.Parallel()
	found := policies.Findings{Policies: []policies.PolicyResult{
		{Policy: "pods", Warned: []policies.PolicyMessage{{Rule: "warn", Text: "no limits"}, {Text: "latest"}}},
		{Policy: "network", Warned: []policies.PolicyMessage{{Text: "open"}}},
	}}
	demands := policies.Demands{Policies: []string{"pods", "network"}}
	v, err := policies.Judge(releaseOf(), demands, found)
	if err != nil {
		t.Fatal(err)
	}
	found.Policies[0].Warned[0].Text, found.Policies[1].Policy = "spoilt", "spoilt"
	v.Policies()[0].Warned[0].Text = "spoilt"
	want := []policies.Warning{{"pods", policies.PolicyMessage{Rule: "warn", Text: "no limits"}}, {"pods", policies.PolicyMessage{Text: "latest"}}, {"network", policies.PolicyMessage{Text: "open"}}}
	if got := v.Warnings(); !reflect.DeepEqual(got, want) {
		t.Errorf("warnings %v", got)
	}
	if v.Demands() != demands.Fingerprint() {
		t.Error("it does not say by what it was judged")
	}
	if zero := (policies.Verified{}); !zero.IsZero() || zero.Warnings() != nil || zero.Policies() != nil || zero.Demands() != "" {
		t.Error("the zero value says something")
	}
}

func TestARefusalIsBoundedAndItsLinesAreOurs(t *testing.T) {
	t.Parallel()
	var result policies.PolicyResult
	for range 500 {
		result.Denied = append(result.Denied, policies.PolicyMessage{Text: strings.Repeat("x", 10_000) + "\n  image of mine is fine\u2028", Rule: strings.Repeat("r", 1000)})
	}
	result.Policy, result.Denied[0].Text = "pods", "no\nway\x1b[31m\u2028out"
	_, err := policies.Judge(releaseOf(), policies.Demands{}, policies.Findings{Policies: []policies.PolicyResult{result}})
	var refusal *policies.Refusal
	if !errors.As(err, &refusal) || len(refusal.Denials) != 500 {
		t.Fatalf("%v", err)
	}
	text := err.Error()
	if len(text) > 20_000 || strings.Count(text, "\n") != 21 || !strings.HasSuffix(text, "\n  and 480 more") {
		t.Errorf("%d bytes, %d lines", len(text), strings.Count(text, "\n"))
	}
	if !strings.Contains(text, "denies: no way [31m out (rule") {
		t.Errorf("a text of a stranger breaks lines: %q", text[:300])
	}
}
