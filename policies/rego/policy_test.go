package rego_test

import (
	"strings"
	"testing"
)

func files(pairs ...string) map[string][]byte {
	m := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = []byte(pairs[i+1])
	}
	return m
}

// one is a policy of one file.
func one(body string) map[string][]byte { return files("main.rego", "package main\n"+body) }

const good = `
deny contains msg if {
	some o in input.objects
	o.kind == "Pod"
	msg := "no pods"
}
`

// Each of these could let something pass that its author meant to deny, or
// reach out of the evaluation, so none is a policy.
func TestWhatIsNoPolicyIsRefusedWithItsCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string // in the error
	}{
		// catalogue 122
		"no file":            {nil, "has no .rego file"},
		"only data":          {files("a.yaml", "a: 1"), "has no .rego file"},
		"only tests":         {files("a_test.rego", "package main\ntest_a if true"), "has no .rego file"},
		"empty file":         {files("a.rego", ""), "a.rego: is empty"},
		"no rules":           {one(""), "no rule deny, violation or warn"},
		"no such rules":      {one("helper := 1"), "no rule deny, violation or warn"},
		"syntax error":       {one("deny contains msg {"), "main.rego:2: "},
		"type error":         {one(`deny contains "x" if 1 + "a" == 2`), "main.rego:2: "},
		"unsafe variable":    {one("deny contains msg if true"), "main.rego:2: "},
		"unused variable":    {one("deny contains \"x\" if { unused := 1 }"), "main.rego:2: "},
		"recursion":          {one("deny contains \"x\" if a\na if b\nb if a"), "recursive"},
		"old Rego":           {one("deny[msg] { msg := \"x\" }"), "main.rego:2: "},
		"library missing":    {one("import data.lib.pods\ndeny contains \"x\" if pods.bad"), "main.rego:3: there is no data.lib.pods"},
		"rule missing":       {one("deny contains \"x\" if data.main.helper"), "there is no data.main.helper"},
		"data missing":       {one("deny contains \"x\" if data.registries[_] == 1"), "main.rego:2: there is no data.registries"},
		"parameter missing":  {one("deny contains \"x\" if count(data.parameters.registries) > 1"), "needs the parameter data.parameters.registries"},
		"misspelt input":     {one("deny contains \"x\" if input.objcts"), `there is no input.objcts; did you mean "objects"?`},
		"conftest's input":   {one(`deny contains "x" if input.kind == "Pod"`), "its objects are input.objects"},
		"misspelt evidence":  {one(`deny contains "x" if input.images[_].evidence.signature`), `evidence.signature; did you mean "signatures"?`},
		"misspelt rule":      {one(good + `dney_root contains "x" if input.objects`), "nothing looks at dney_root; did you mean deny_…?"},
		"allow":              {one(good + "default allow := false"), "nothing looks at allow"},
		"map for a set":      {one(`deny[msg] := true if msg := "x"`), "deny is a map here"},
		"map without value":  {one(`deny[msg] if msg := "x"`), "deny is a map here"},
		"function":           {one(`deny(x) := "a" if x == 1`), "deny is a function"},
		"deeper rule":        {one(`deny.root contains "x"`), "deny is a map here"},
		"exception":          {one(good + "exception contains rules if rules := [\"\"]"), "exceptions of conftest are not supported"},
		"data of tests":      {files("main.rego", "package main\ndeny contains \"x\" if data.registries", "d_test.yaml", "registries: []"), "there is no data.registries"},
		"bad data":           {files("main.rego", "package main\n"+good, "d.yaml", "a: 1\na: 2"), "d.yaml: is no valid YAML"},
		"data without name":  {files("main.rego", "package main\n"+good, "d.yaml", "[1]"), "d.yaml: is no map"},
		"data twice":         {files("main.rego", "package main\n"+good, "a.yaml", "x: 1", "b.json", `{"x": 2}`), `b.json: "x" is defined by another data file`},
		"data over a file":   {files("main.rego", "package main\n"+good, "a.yaml", "x: 1", "x/b.yaml", "y: 2"), "x/b.yaml: stands in a folder whose name is a key"},
		"data over a rule":   {files("main.rego", "package main\n"+good, "a.yaml", "main: {deny: []}"), "conflict"},
		"too large a file":   {files("main.rego", "package main\n"+good+strings.Repeat("#\n", 200<<10)), "a policy's file may have 256"},
		"parameters no data": {files("main.rego", "package main\n"+good, "a.yaml", "parameters: 1"), "data.parameters is no map"},

		// catalogue 123
		"http.send":            {one(`deny contains "x" if http.send({"method": "get", "url": "http://127.0.0.1"})`), "http.send is not available: policies have no network"},
		"http.send by mocking": {one(`deny contains "x" if upper("a") == "A" with upper as http.send`), "main.rego:2: "},
		"lookup":               {one(`deny contains "x" if net.lookup_ip_addr("localhost")`), "net.lookup_ip_addr is not available: policies have no network"},
		"runtime":              {one(`deny contains "x" if opa.runtime().env.PATH`), "opa.runtime is not available"},
		"clock":                {one(`deny contains "x" if time.now_ns() > 1`), "time.now_ns is not available: the same release must be judged alike"},
		"chance":               {one(`deny contains "x" if rand.intn("a", 2) == 1`), "rand.intn is not available"},
		"remote schema":        {one(`deny contains "x" if json.match_schema({}, {"$ref": "http://127.0.0.1/"})[0]`), "json.match_schema is not available"},
		"parser":               {one(`deny contains "x" if rego.parse_module("a", "b")`), "rego.parse_module is not available"},
		"no such function":     {one(`deny contains "x" if frobnicate(1)`), "undefined function frobnicate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pool.Compile("sample", c.files, nil)
			if err == nil {
				t.Fatal("it compiles")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "policy sample: ") {
				t.Errorf("%v\nshould say %q", err, c.want)
			}
		})
	}
}
