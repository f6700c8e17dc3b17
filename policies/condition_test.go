package policies_test

import (
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

func TestConditions(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	predicate := `{"review":{"approved":true,"by":["ada","bob"],"score":3,"ratio":0.5,"big":9007199254740993},"text":"true"}`
	tests := []struct{ because, expression, refused string }{
		{"true", `predicate.review.approved`, ""},
		{"compared", `predicate.review.approved == true && predicate.review.score >= 3 && predicate.review.ratio < 1`, ""},
		{"with a macro", `predicate.review.by.exists(p, p == 'ada') && !has(predicate.review.revoked)`, ""},
		{"large whole numbers are exact", `predicate.review.big == 9007199254740993`, ""},
		{"large whole numbers are not rounded", `predicate.review.big == 9007199254740992`, "is false"},
		{"false", `predicate.review.score > 3`, "predicate.review.score > 3 is false"},
		{"a text that says true", `predicate.text`, "cannot be told: it is a string, not a bool"},
		{"no such key", `predicate.review.denied == false`, "predicate.review.denied == false cannot be told: no such key: denied"},
		{"a wrong type", `predicate.text.approved`, "cannot be told"},
		{"an error in one half is an error", `predicate.none && predicate.review.approved`, "cannot be told"},
		{"a division by zero", `1 / (predicate.review.score - 3) > 0`, "cannot be told"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			rule := demanding(release, policies.AttestationDemand{Type: review, Where: []string{tt.expression}})
			expect(t, judgeAttested(t, rule, attested{"release", review, predicate}), tt.refused)
		})
	}
	t.Run("one that costs too much ends", func(t *testing.T) {
		t.Parallel()
		long := `{"l":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`
		rule := demanding(release, policies.AttestationDemand{Type: review, Where: []string{`predicate.l.all(a, predicate.l.all(b, predicate.l.all(c, a + b + c > 0)))`}})
		expect(t, judgeAttested(t, rule, attested{"release", review, long}), "cannot be told: operation cancelled: actual cost limit exceeded")
	})
}
