package rego_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
)

func compile(t testing.TB, files map[string][]byte, parameters map[string]any) *rego.Policy {
	t.Helper()
	p, err := pool.Compile("sample", files, parameters)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func input(t testing.TB, f policies.Facts) rego.Input {
	t.Helper()
	in, err := rego.NewInput(f)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// catalogue 122
func TestWhatIsNoClearAnswerIsAProblem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"undefined":                {`deny := "x" if input.digest == "other"`, "deny is undefined"},
		"undefined beside another": {"violation contains \"x\"\ndeny := \"x\" if input.digest == \"other\"", "deny is undefined"},
		"true":                     {`deny := true`, "deny is true, not a set"},
		"false":                    {`default deny := false`, "deny is false, not a set"},
		"true as text":             {`deny := "true"`, "deny is text, not a set"},
		"null":                     {`deny := null`, "deny is null, not a set"},
		"number":                   {`deny := 0`, "deny is a number, not a set"},
		"map":                      {`deny := {"msg": "x"}`, "deny is a map, not a set"},
		"empty message":            {`deny contains ""`, "deny holds a message without text"},
		"blank message":            {`deny contains " \n"`, "deny holds a message without text"},
		"true in the set":          {`deny contains true`, "deny holds true, which is no message"},
		"null in the set":          {`deny contains null`, "deny holds null, which is no message"},
		"list in the set":          {`deny contains ["x"]`, "deny holds a list, which is no message"},
		"object without msg":       {`deny contains {"message": "x"}`, "whose msg is missing"},
		"msg of wrong type":        {`deny contains {"msg": ["x"]}`, "whose msg is a list"},
		"msg empty":                {`deny contains {"msg": ""}`, "deny holds a message without text"},
		"object of wrong type":     {`deny contains {"msg": "x", "object": 1}`, "whose object is neither"},
		"warn of wrong type":       {"deny contains \"x\" if false\nwarn := \"x\"", "warn is text, not a set"},
		"one bad among good":       {`deny := {"a", "b", 1}`, "deny holds a number"},
		"error in a function":      {`deny contains "x" if to_number(input.digest) == 1`, "main.rego:2: to_number: "},
		"conflict":                 {"a := 1\na := 2 if input.digest\ndeny contains \"x\" if a == 3", "main.rego:3: rule data.main.a produced conflicting values"},
		"division by zero":         {`deny contains "x" if 1 / count(input.environment.after) > 0`, "main.rego:2: div: divide by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := compile(t, one(c.body), nil).Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
			if !strings.Contains(got.Problem, c.want) {
				t.Errorf("problem %q\nshould say %q", got.Problem, c.want)
			}
			if got.Denied != nil || got.Warned != nil || got.Policy != "sample" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// catalogue 122, 123
func TestWhatDoesNotEndIsStopped(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nested loops": `deny contains "x" if { some a, b, c, d, e in numbers.range(1, 100000); a + b + c + d + e == 0 }`,
		"long texts":   `deny contains "x" if { some i, j, k in numbers.range(1, 100000); contains(sprintf("%d%d%d", [i, j, k]), "none") }`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body = strings.ReplaceAll(body, "some a, b, c, d, e in", "r := numbers.range(1, 100000); a := r[_]; b := r[_]; c := r[_]; d := r[_]; e := r[_]; 1 in")
			body = strings.ReplaceAll(body, "some i, j, k in", "r := numbers.range(1, 100000); i := r[_]; j := r[_]; k := r[_]; 1 in")
			p := compile(t, one(body), nil)
			in := input(t, policies.Facts{Release: release()})
			got := p.Evaluate(t.Context(), in, rego.Limits{Time: 50 * time.Millisecond})
			if got.Problem != "took longer than 50ms, the limit, and was stopped; let it loop over less, or split it" {
				t.Errorf("problem %q", got.Problem)
			}
		})
	}
}

func TestAnEvaluationOfManyObjectsIsNotStopped(t *testing.T) {
	t.Parallel()
	p := compile(t, one(`
		objects := [o | some i in numbers.range(1, 500); o := {"kind": "Pod", "metadata": {"name": sprintf("pod-%d", [i])}, "text": concat("", ["<a>" | some _ in numbers.range(1, 300)])}]
		deny contains "x" if {
			some o in objects
			text := json.marshal(o)
			json.unmarshal(text).metadata.name == "pod-500"
			yaml.unmarshal(yaml.marshal(o)) == o
			count(split(regex.replace(replace(text, "a", "bbb"), "b{3}", "[$0]"), ",")) > 2
			count(json.marshal(objects)) > 100000
		}`), nil)
	got := p.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{Time: time.Minute})
	if got.Problem != "" || len(got.Denied) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestACancelledEvaluationIsNoAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := compile(t, one(good), nil).Evaluate(ctx, input(t, policies.Facts{Release: release()}), rego.Limits{})
	if got.Problem != "context canceled" {
		t.Errorf("%+v", got)
	}
}

func TestTheZeroInputIsDenied(t *testing.T) {
	t.Parallel()
	got := compile(t, one(good), nil).Evaluate(t.Context(), rego.Input{}, rego.Limits{})
	if got.Problem == "" {
		t.Errorf("%+v", got)
	}
}

func TestMessagesOfAllRulesInAllPackages(t *testing.T) {
	t.Parallel()
	p := compile(t, files(
		"main.rego", `package main
			deny contains "a"
			deny contains {"msg": "b", "object": input.objects[0], "image": input.images[0], "more": {"x": 1}}
			violation_root contains {"msg": "c", "object": "Pod a/b", "image": "ghcr.io/acme/web"}
			warn := ["d"]
			deny_never contains "x" if input.digest == "other"`,
		"other/other.rego", `package other.place
			import data.main.helper
			deny_x_1 contains "e" if helper
			warning contains "not looked at"`,
		"helper.rego", "package main\nhelper if true",
	), nil)
	got := p.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
	want := policies.PolicyResult{
		Policy: "sample",
		Denied: []policies.PolicyMessage{
			{Rule: "deny", Text: "a"},
			{Rule: "deny", Text: "b", Object: "Deployment shop/web", Image: "ghcr.io/acme/web@sha256:" + webDigest},
			{Rule: "violation_root", Text: "c", Object: "Pod a/b", Image: "ghcr.io/acme/web"},
			{Rule: "deny_x_1", Text: "e"},
		},
		Warned: []policies.PolicyMessage{{Rule: "warn", Text: "d"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	p := compile(t, one(`
		deny contains msg if { some i in numbers.range(1, 250); msg := sprintf("%03d", [i]) }
		deny_long contains msg if { msg := concat("", [x | some _ in numbers.range(1, 1000); x := "é"]) }`), nil)
	got := p.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
	if n := len(got.Denied); n != 101 || got.Denied[99].Text != "100" || !strings.HasPrefix(got.Denied[100].Text, "and ") {
		t.Errorf("%d messages, the last %+v", n, got.Denied[n-1])
	}
	long := compile(t, one(`deny contains msg if { msg := concat("", [x | some _ in numbers.range(1, 1000); x := "é"]) }`), nil)
	got = long.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
	if want := strings.Repeat("é", 499) + "…"; got.Denied[0].Text != want {
		t.Errorf("%d bytes", len(got.Denied[0].Text))
	}
}

func TestParametersAndDataFiles(t *testing.T) {
	t.Parallel()
	source := files(
		"main.rego", `package main
			deny contains msg if { some r in data.parameters.registries; msg := sprintf("%s %s %v", [r, data.lists.team, data.parameters.limit]) }`,
		"lists/names.yaml", "team: web",
		"defaults.json", `{"parameters": {"limit": 3, "registries": []}}`,
	)
	p := compile(t, source, map[string]any{"registries": []string{"ghcr.io"}})
	got := p.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
	if len(got.Denied) != 1 || got.Denied[0].Text != "ghcr.io web 3" {
		t.Errorf("%+v", got)
	}
	other := compile(t, source, map[string]any{"registries": []string{"quay.io"}})
	if p.ID() == other.ID() || !strings.HasPrefix(p.ID(), "sha256:") {
		t.Errorf("%s and %s", p.ID(), other.ID())
	}
}

func TestTheIDIsOfWhatIsEvaluated(t *testing.T) {
	t.Parallel()
	p := compile(t, one(good), nil)
	tested := one(good)
	tested["main_test.rego"] = []byte("package main\ntest_a if true")
	if q := compile(t, tested, nil); q.ID() != p.ID() {
		t.Error("tests change it")
	}
	if q, err := pool.Compile("other", one(good), nil); err != nil || q.ID() != p.ID() {
		t.Errorf("the name changes it: %v", err)
	}
	if q := compile(t, one(good+"\n#"), nil); q.ID() == p.ID() {
		t.Error("the content does not")
	}
}

func TestOnePolicyAndOneInputServeManyAtOnce(t *testing.T) {
	t.Parallel()
	p, in := compile(t, one(`deny contains sprintf("%v", [o.metadata.labels]) if some o in input.objects`), nil), input(t, policies.Facts{Release: release()})
	want := p.Evaluate(t.Context(), in, rego.Limits{})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if diff := cmp.Diff(want, p.Evaluate(t.Context(), in, rego.Limits{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	all.Wait()
}

func TestReads(t *testing.T) {
	t.Parallel()
	change, pullRequest := []string{"change"}, []string{"change", "commits", rego.Any, "pullRequest"}
	attestations := []string{"images", rego.Any, "evidence", "attestations"}
	for body, want := range map[string][]bool{ // change, pull request, attestations
		`deny contains "x" if some o in input.objects`:                                                      {false, false, false},
		`deny contains "x" if input.change.rewritten`:                                                       {true, false, false},
		`deny contains "x" if input.change.commits[0].author`:                                               {true, false, false},
		`deny contains "x" if input.change.commits[_].pullRequest.number`:                                   {true, true, false},
		`deny contains "x" if { some c in input.change.commits; not c.pullRequest }`:                        {true, true, false},
		`deny contains "x" if input["change"]`:                                                              {true, true, false},
		"import input.change as it\ndeny contains \"x\" if it.commits[_].author":                            {true, false, false},
		`deny contains "x" if input[_] == "x"`:                                                              {true, true, true},
		`deny contains "x" if { walk(input, [_, x]); is_null(x) }`:                                          {true, true, true},
		"f(x) := x.change\ndeny contains \"x\" if f(input)":                                                 {true, true, true},
		"deny contains \"x\" if { i := input; i.digest }":                                                   {true, true, true},
		`deny contains "x" if input.images[_].evidence.signatures`:                                          {false, false, false},
		`deny contains "x" if { some i in input.images; i.evidence.exists }`:                                {false, false, true},
		`deny contains "x" if count([a | a := input.images[_].evidence.attestations[_]; a.type == ""]) > 0`: {false, false, true},
	} {
		p := compile(t, one(body), nil)
		got := []bool{p.Reads(change...), p.Reads(pullRequest...), p.Reads(attestations...)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", body, diff)
		}
		if !p.Reads(rego.Any) {
			t.Errorf("%s reads nothing", body)
		}
	}
}

func ExamplePolicy_Evaluate() {
	p, err := pool.Compile("no-latest", map[string][]byte{"latest.rego": []byte(`
		package main
		deny contains {"msg": "the tag latest says nothing", "object": image.object} if {
			some image in input.images
			image.tag == "latest"
		}`)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	in, err := rego.NewInput(policies.Facts{Release: release()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Evaluate(context.Background(), in, rego.Limits{}).Denied)
	// Output: []
}
