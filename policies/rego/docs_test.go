package rego_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pawl-dev/pawl/policies/rego"
)

// docs/policies.md is what people write policies by.

func documentation(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheDocumentationNamesEveryFieldOfTheInput(t *testing.T) {
	t.Parallel()
	var told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(input\\.[\\w.\\[\\]]+)` \\|").FindAllStringSubmatch(documentation(t), -1) {
		told = append(told, m[1])
	}
	want := fields("input", reflect.TypeFor[rego.Document]())
	if diff := cmp.Diff(want, told, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}
}

// fields are the paths of all fields of a type; those that only hold others of a
// fixed shape once are not told by themselves.
func fields(path string, of reflect.Type) []string {
	var all []string
	for f := range of.Fields() {
		at, kind := path, f.Type
		if !f.Anonymous {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			at += "." + name
		}
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Slice {
			at, kind = at+"[]", kind.Elem()
		}
		single := kind.Kind() == reflect.Struct && f.Type.Kind() == reflect.Struct && at != "input.images[].evidence"
		if !f.Anonymous && !single {
			all = append(all, at)
		}
		if kind.Kind() == reflect.Struct {
			all = append(all, fields(at, kind)...)
		}
	}
	return all
}

func TestThePoliciesOfTheDocumentationWork(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```rego\n(.*?)```").FindAllStringSubmatch(documentation(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("it has only %d", len(blocks))
	}
	in := input(t, facts())
	said := map[string]int{}
	for i, b := range blocks {
		name := strings.Fields(b[1])[1]
		if tested, isTest := strings.CutSuffix(name, "_test"); isTest {
			results, err := pool.Test(t.Context(), tested, files(tested+".rego", blocks[i-1][1], name+".rego", b[1]), rego.Limits{})
			if err != nil || len(results) != 2 || results[0].Outcome != rego.Passed || results[1].Outcome != rego.Passed {
				t.Errorf("%+v, %v", results, err)
			}
			continue
		}
		got := compile(t, files(name+".rego", b[1]), nil).Evaluate(t.Context(), in, rego.Limits{})
		if got.Problem != "" {
			t.Errorf("%s: %s", name, got.Problem)
		}
		said[name] = len(got.Denied)
	}
	if diff := cmp.Diff(map[string]int{"replicas": 0, "people": 1, "provenance": 1, "team": 3}, said); diff != "" {
		t.Error(diff)
	}
}
