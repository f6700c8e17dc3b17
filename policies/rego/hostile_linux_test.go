package rego_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
)

// children are the sealed processes of this one, and the CPU time that each has
// used, in ticks.
func children(t *testing.T) map[int]int {
	t.Helper()
	found := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		fields := strings.Fields(string(after))
		if string(bytes.TrimRight(name, "\x00")) != rego.Worker.Name || len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue // what has ended and is to be reaped has no command line
		}
		used := 0
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			used += n
		}
		found[pid] = used
	}
	return found
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("not before long: %s", what)
		}
		time.Sleep(20 * time.Millisecond) // two ticks
	}
}

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

const (
	hugeList = `r := numbers.range(1, 100000)
		deny contains "x" if count([[a, b] | some a in r; some b in r]) == 1`
)

// hugeText is made in few steps, each of which is one call of a function.
var hugeText = doubled(`"xxxxxxxx"`, `concat("", [A, A])`) + `deny contains a40`

// a value that holds another twice, and that one others: without a type by which
// the compiler could come to the same end.
func twice(name string) string {
	return strings.ReplaceAll(doubled("[input.digest]", "[x | some x in [A, A]]"), "a", name)
}

const (
	soon  = time.Second / 5
	never = 5 * time.Minute
)

// catalogue 122, 123: whatever a policy does, there is a verdict with its cause,
// and then nothing of it goes on: its process is gone or waits, and this one,
// which stands for the agent, has spent no memory on it. No other policy notices.
func TestAHostilePolicyHoldsNothing(t *testing.T) {
	large := release()
	large.Objects = append(large.Objects, &unstructured.Unstructured{Object: map[string]any{"kind": "Large", "list": slices.Repeat([]any{1.5}, 3_000_000)}})
	small := policies.Facts{Release: release()}
	sixty := func(item string) string {
		return `a := concat("", ["a" | some _ in numbers.range(1, 60000)])` + "\n" + item
	}
	const (
		late     = "took longer than 200ms, the limit, and was stopped; let it loop over less, or split it"
		tooLarge = "needs more than 64 MiB of memory, the limit, and was stopped; let it make smaller texts and lists, or split it"
		filled   = 64 << 20
	)
	for name, c := range map[string]struct {
		body   string
		facts  policies.Facts
		limits rego.Limits
		want   string // of the verdict, or of why there is no policy
	}{
		"a tree compared":           {twice("a") + twice("b") + `deny contains "x" if count({a40, b40}) == 1`, small, rego.Limits{Time: soon}, late},
		"a tree unified":            {twice("a") + twice("b") + `deny contains "x" if a40 == b40`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a tree compared, compiled": {doubled("[input.digest]", "[A, A]") + strings.ReplaceAll(doubled("[input.digest]", "[A, A]"), "a", "b") + `deny contains "x" if a40 == b40`, small, rego.Limits{}, "was not compiled within 2s; make it smaller, or split it"},
		"a tree as text":            {doubled(`[1]`, `[A, A]`) + `deny contains sprintf("%v", [a40])`, small, rego.Limits{Time: soon}, late},
		"a tree as JSON":            {doubled(`[1]`, `[A, A]`) + `deny contains json.marshal(a40)`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a tree as a message":       {twice("a") + `deny contains {"msg": "x", "object": a40}`, small, rego.Limits{}, "deny holds a message whose object is neither"},
		"loops":                     {`r := numbers.range(1, 100000)` + "\n" + `deny contains "x" if { r[_] + r[_] + r[_] + r[_] == 0 }`, small, rego.Limits{Time: soon}, late},
		"a huge list":               {hugeList, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a list doubled":            {doubled(`[1]`, `array.concat(A, A)`) + `deny contains "x" if count(a40) == 1`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a range":                   {`deny contains "x" if count(numbers.range(1, 1000000000000)) == 1`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a text doubled":            {hugeText, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a text repeated":           {doubled(`"xxxxxxxx"`, `sprintf("%[1]s%[1]s", [A])`) + `deny contains a40`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"replacements":              {sixty(`deny contains replace(a, "a", a)`), small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"many replaced":             {sixty(`deny contains strings.replace_n({"a": a}, a)`), small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"matches replaced":          {sixty(`deny contains regex.replace(a, "a", a)`), small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"aliases of YAML":           {sixty(`deny contains "x" if yaml.unmarshal(sprintf("a: &a %s\nb: [%s]", [a, concat(",", ["*a" | some _ in numbers.range(1, 60000)])])) == 1`), small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"addresses":                 {`deny contains "x" if count(net.cidr_expand("::/0")) == 1`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"bits":                      {`deny contains "x" if bits.lsh(1, 1000000000000) == 1`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"expressions":               {`deny contains "x" if { some i in numbers.range(1, 100); regex.match(concat("", array.concat([sprintf("%d", [i])], ["(a{900})" | some _ in numbers.range(1, 900)])), "a") }`, small, rego.Limits{Time: never, Memory: filled}, tooLarge},
		"a slow expression":         {`deny contains "x" if { some i in numbers.range(1, 100000); regex.match(sprintf("(a|a)*%d$", [i]), concat("", ["a" | some _ in numbers.range(1, 100000)])) }`, small, rego.Limits{Time: soon}, late},
		"deep JSON":                 {`deny contains "x" if json.unmarshal(concat("", ["[" | some _ in numbers.range(1, 500000)])) == 1`, small, rego.Limits{}, "json.unmarshal: "},
		"deep source":               {`deny contains "x" if ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + " == 1", small, rego.Limits{}, "max parsing recursion depth exceeded"},
		"huge numbers":              {doubled("12345678901234567890123", "A * A") + `deny contains "x" if a40 == 1`, small, rego.Limits{Time: soon}, late},
		"a huge input":              {good, policies.Facts{Release: large}, rego.Limits{Memory: 1 << 20}, "needs more than 1 MiB of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			mine := rego.New(sealed.Options{})
			defer mine.Close()
			mine.CompileWithin(2 * time.Second)
			in := input(t, c.facts)
			before, routines := children(t), runtime.NumGoroutine()
			said := ""
			grown := heapGrowth(func() {
				policy, err := mine.Compile("hostile", one(c.body), nil)
				if err != nil {
					said = err.Error()
					return
				}
				got := policy.Evaluate(t.Context(), in, c.limits)
				if said = got.Problem; said == "" {
					t.Errorf("%v %v, want no clear answer", got.Denied, got.Warned)
				}
			})
			if !strings.Contains(said, c.want) {
				t.Errorf("%q\nshould say %q", said, c.want)
			}
			if grown > 96<<20 { // the huge input is 12 MiB of text
				t.Errorf("%d MiB were needed here", grown>>20)
			}
			var last map[int]int
			eventually(t, "what is left of the policy rests", func() bool {
				now := children(t)
				for pid := range before {
					delete(now, pid)
				}
				rests := len(now) <= 2 // of its two limits of memory: what it was compiled in, and evaluated
				for pid, used := range now {
					rests = rests && last[pid] == used
				}
				last = now
				return rests && runtime.NumGoroutine() <= routines+2*len(now) // what reads its standard error
			})
			good, err := mine.Compile("other", one(good), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := good.Evaluate(t.Context(), input(t, small), rego.Limits{}); got.Problem != "" {
				t.Errorf("another policy: %s", got.Problem)
			}
		})
	}
}

// catalogue 123
func TestTestsThatWouldFillTheMemoryAreStopped(t *testing.T) {
	for name, body := range map[string]string{"in one call": hugeText, "bit by bit": hugeList} {
		source := one(body)
		source["main_test.rego"] = []byte("package main\ntest_a if count(deny) == 1")
		got, err := pool.Test(t.Context(), "sample", source, rego.Limits{Time: time.Minute, Memory: 64 << 20})
		if said := fmt.Sprint(got, err); !strings.Contains(said, "needs more than 64 MiB of memory") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// A child that is ended from outside, by the kernel say, costs its next user no
// verdict.
func TestAChildThatIsGoneIsReplaced(t *testing.T) {
	mine := rego.New(sealed.Options{Jobs: 1})
	defer mine.Close()
	before := children(t)
	policy, err := mine.Compile("sample", one(good), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, policies.Facts{Release: release()})
	for range 3 {
		for pid := range children(t) {
			if _, others := before[pid]; others {
				continue
			}
			process, err := os.FindProcess(pid)
			if err != nil {
				t.Fatal(err)
			}
			_ = process.Kill()
		}
		if got := policy.Evaluate(t.Context(), in, rego.Limits{}); got.Problem != "" {
			t.Error(got.Problem)
		}
	}
}
