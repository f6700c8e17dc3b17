package rego

import (
	_ "embed"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// builtins are the functions that policies have: those that compute from their
// arguments alone. It is a list of what is there and not of what is not, so that
// a new version of OPA brings nothing unlooked at. How much time and memory they
// need is no reason against one: that bounds the process.
//
//go:embed builtins.txt
var builtins string

// testCase is what OPA's runner of tests calls itself, for tests with cases.
const testCase = "internal.test_case"

// capabilities are all that policies can do. Capabilities and no list of unsafe
// functions: a policy can give a function another name (CVE-2022-36085).
func capabilities(more ...string) *ast.Capabilities {
	there := append(strings.Fields(builtins), more...)
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return !slices.Contains(there, b.Name) })
	c.AllowNet = []string{} // none; nil would be any
	c.WasmABIVersions = nil
	return c
}

// withheld says why a function that OPA has is not there, by the first part of
// its name that is listed.
var withheld = []struct{ prefix, because string }{
	{"http.", "policies have no network"},
	{"net.lookup_ip_addr", "policies have no network"},
	{"json.match_schema", "it may ask the network for a schema"},
	{"json.verify_schema", "it may ask the network for a schema"},
	{"opa.", "policies see nothing of the process that they run in"},
	{"rego.", "policies see nothing but their input"},
	{"time.now_ns", "the same release must be judged alike at any time; input.time is when it is judged"},
	{"rand.", "the same release must be judged alike every time"},
	{"uuid.rfc4122", "the same release must be judged alike every time"},
	{"io.jwt.", "whether a token counts depends on a clock and on keys; input.images[_].evidence is verified already"},
	{"crypto.", "it works with private keys or depends on a clock"},
	{"providers.", "policies hold no credentials"},
	{"trace", "print is there for it, in tests"},
	{"graphql.", "nothing in a release needs it"},
}

// whyWithheld is the reason why there is no such function; empty if OPA has
// none, either.
func whyWithheld(function string) string {
	if _, known := ast.BuiltinMap[function]; !known {
		return ""
	}
	for _, w := range withheld {
		if strings.HasPrefix(function, w.prefix) {
			return w.because
		}
	}
	return ""
}
