package rego_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/policies/rego"
)

func TestTheTestsOfAPolicy(t *testing.T) {
	t.Parallel()
	source := one(good)
	source["main_test.rego"] = []byte(`package main_test

import data.main

pod := {"kind": "Pod"}

test_denied if {
	print("looked at", pod.kind)
	count(main.deny) == 1 with input as {"objects": [pod]}
}

test_wrong if {
	count(main.deny) == 0 with input as {"objects": []}
	count(main.deny) == 2 with input as {"objects": [pod]}
}

test_cases[kind] if {
	some kind in ["Pod", "Service", "Secret"]
	count(main.deny) == 1 with input as {"objects": [{"kind": kind}]}
}

test_error if to_number("x") == 1

test_endless if {
	r := numbers.range(1, 100000)
	count({1 | r[_] + r[_] + r[_] == 0}) == 1
}

todo_test_later if false

test_parameter if data.parameters.limit == 3 with data.parameters as {"limit": 3}

test_data if data.fixtures_only == 1
`)
	source["fixtures_test.yaml"] = []byte("fixtures_only: 1")
	got, err := pool.Test(t.Context(), "sample", source, rego.Limits{Time: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := []rego.TestResult{
		{Name: "main_test.test_denied", Line: 7, Outcome: rego.Passed, Printed: "looked at Pod"},
		{Name: "main_test.test_wrong", Line: 12, Outcome: rego.Failed, Text: "is not true: line 14"},
		{Name: "main_test.test_cases", Line: 17, Outcome: rego.Failed, Text: "failed for Secret, Service"},
		{Name: "main_test.test_error", Line: 22, Outcome: rego.Errored, Text: `main_test.rego:22: to_number: strconv.ParseFloat: parsing "x": invalid syntax`},
		{Name: "main_test.test_endless", Line: 24, Outcome: rego.Errored, Text: "took too long and was stopped"},
		{Name: "main_test.todo_test_later", Line: 29, Outcome: rego.Skipped},
		{Name: "main_test.test_parameter", Line: 31, Outcome: rego.Passed},
		{Name: "main_test.test_data", Line: 33, Outcome: rego.Passed},
	}
	for i := range want {
		want[i].File = "main_test.rego"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a policy could not do in the agent, its tests cannot do, either.
func TestTestsThatCannotBeTried(t *testing.T) {
	t.Parallel()
	for test, want := range map[string]string{
		`test_a if http.send({"url": "http://127.0.0.1", "method": "get"})`: "policy sample: main_test.rego:2: http.send is not available: policies have no network",
		`test_a if data.main.dney`:     "policy sample: main_test.rego:2: there is no data.main.dney: neither a rule nor a data file of the policy defines it",
		`test_a if input.objcts`:       `policy sample: main_test.rego:2: there is no input.objcts; did you mean "objects"?`,
		`test_a if time.now_ns() == 1`: "policy sample: main_test.rego:2: time.now_ns is not available: the same release must be judged alike at any time; input.time is when it is judged",
	} {
		source := one(good)
		source["main_test.rego"] = []byte("package main\n" + test)
		_, err := pool.Test(t.Context(), "sample", source, rego.Limits{})
		if err == nil || err.Error() != want {
			t.Errorf("%v\nshould be %s", err, want)
		}
	}
	if _, err := pool.Test(t.Context(), "sample", files("main_test.rego", "package main\ntest_a if true"), rego.Limits{}); err == nil {
		t.Error("tests without a policy are run")
	}
}
