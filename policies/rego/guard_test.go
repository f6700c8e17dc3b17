package rego_test

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
)

// heapGrowth is by how much the heap grows at the most while run runs.
func heapGrowth(run func()) uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() uint64 { metrics.Read(sample); return sample[0].Value.Uint64() }
	runtime.GC()
	before := read()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := before
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				peak <- max(most, read())
				return
			case <-tick.C:
				most = max(most, read())
			}
		}
	}()
	run()
	close(done)
	return max(before, <-peak) - before
}

// doubled is a chain of rules, each made of the one before twice.
func doubled(first, next string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a0 := %s\n", first)
	for i := range 40 {
		fmt.Fprintf(&b, "a%d := %s\n", i+1, strings.ReplaceAll(next, "A", fmt.Sprintf("a%d", i)))
	}
	return b.String()
}

// bombs are policies that would fill any memory, and what is said of each.
var bombs = map[string]struct{ body, want string }{
	"widths":           {`deny contains m if { m := sprintf("%1000000d%1000000d%1000000d", [1, 1, 1]); m2 := concat("", [m | some _ in numbers.range(1, 1500)]); count(m2) > 5 }`, "sprintf would make more than 8 MiB of text"},
	"a width given":    {`deny contains sprintf("%*d", [1000000, 1])`, "sprintf would make more than 8 MiB"},
	"arguments again":  {doubled(`"xxxxxxxx"`, `sprintf("%[1]s%[1]s", [A])`) + `deny contains a40`, "sprintf would make more than 8 MiB"},
	"replacements":     {`a := concat("", ["a" | some _ in numbers.range(1, 60000)])` + "\n" + `deny contains replace(a, "a", a)`, "replace would make more than 8 MiB"},
	"many replaced":    {`a := concat("", ["a" | some _ in numbers.range(1, 60000)])` + "\n" + `deny contains strings.replace_n({"a": a}, a)`, "strings.replace_n would make more than 8 MiB"},
	"matches replaced": {`a := concat("", ["a" | some _ in numbers.range(1, 60000)])` + "\n" + `deny contains regex.replace(a, "a", a)`, "regex.replace would make more than 8 MiB"},
	"a doubled text":   {doubled(`"xxxxxxxx"`, `concat("", [A, A])`) + `deny contains a40`, "concat would make more than 8 MiB"},
	"a doubled list":   {doubled(`[1]`, `array.concat(A, A)`) + `deny contains "x" if count(a40) == 1`, "array.concat would make more than 1000000 values"},
	"a shared tree":    {doubled(`[1]`, `[A, A]`) + `deny contains json.marshal(a40)`, "json.marshal would make more than"},
	"a tree as text":   {doubled(`[1]`, `[A, A]`) + `deny contains sprintf("%v", [a22])`, "sprintf would make more than"},
	"a range":          {`deny contains "x" if count(numbers.range(1, 1000000000000)) == 1`, "numbers.range would make more than 1000000 values"},
	"steps":            {`deny contains "x" if count(numbers.range_step(1, 1000000000000, 2)) == 1`, "numbers.range_step would make more than 1000000 values"},
	"numbers squared":  {doubled(`12345678901234567890123`, `A * A`) + `deny contains "x" if a40 == 1`, "mul would make more than"},
	"yaml aliases":     {`a := concat("", ["x" | some _ in numbers.range(1, 60000)])` + "\n" + `deny contains "x" if yaml.unmarshal(sprintf("a: &a %s\nb: [%s]", [a, concat(",", ["*a" | some _ in numbers.range(1, 60000)])])) == 1`, "yaml.unmarshal would make more than 8 MiB"},
	"an expression":    {`deny contains "x" if regex.match(concat("", ["(a{900})" | some _ in numbers.range(1, 900)]), "a")`, "regex.match would make more than"},
	"many texts":       {`deny contains "x" if { m := sprintf("%9000d", [1]); l := concat("", [m | some _ in numbers.range(1, 500)]); count([s | some i in numbers.range(1, 10000); s := sprintf("%s%d", [l, i])]) == 1 }`, "more than 256 MiB"},
	"nested loops":     {`r := numbers.range(1, 100000)` + "\n" + `deny contains "x" if count([[a, b, c] | some a in r; some b in r; some c in r]) == 1`, "needs more than 256 MiB of memory and was stopped"},
}

// catalogue 123
func TestWhatWouldFillTheMemoryIsStoppedInTime(t *testing.T) {
	in := input(t, policies.Facts{Release: release()})
	for name, c := range bombs {
		t.Run(name, func(t *testing.T) {
			p := compile(t, one(c.body), nil)
			var got policies.PolicyResult
			grown := heapGrowth(func() { got = p.Evaluate(t.Context(), in, rego.Limits{Time: time.Minute}) })
			if !strings.Contains(got.Problem, c.want) {
				t.Errorf("problem %q\nshould say %q", got.Problem, c.want)
			}
			if grown > 600<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}

// catalogue 123
func TestTestsThatWouldFillTheMemoryAreStopped(t *testing.T) {
	for _, name := range []string{"widths", "nested loops"} {
		c := bombs[name]
		source := one(c.body)
		source["main_test.rego"] = []byte("package main\ntest_a if count(deny) == 1")
		var got []rego.TestResult
		var err error
		grown := heapGrowth(func() { got, err = pool.Test(t.Context(), "sample", source, rego.Limits{Time: time.Minute}) })
		if said := fmt.Sprint(got, err); !strings.Contains(said, c.want) {
			t.Errorf("%s\nshould say %q", said, c.want)
		}
		if grown > 600<<20 {
			t.Errorf("%s: the heap grew by %d MiB", name, grown>>20)
		}
	}
}

// catalogue 123
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

// A new version of OPA brings functions whose results are to be estimated.
func TestEveryFunctionIsEstimated(t *testing.T) {
	t.Parallel()
	for _, b := range rego.Builtins().Builtins {
		if !rego.Estimated(b.Name) {
			t.Errorf("%s is not in makes", b.Name)
		}
	}
}
