package policies_test

import (
	"fmt"
	"testing"

	"github.com/pawl-dev/pawl/policies"
)

const slsaBuilder = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0"

// version1 is provenance as GitHub's workflows write it.
func version1(builder, repository, ref, dependencies string) string {
	return fmt.Sprintf(`{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"repository":%q,"ref":%q,"path":".github/workflows/release.yml"}},"resolvedDependencies":[%s]},"runDetails":{"builder":{"id":%q}}}`, repository, ref, dependencies, builder)
}

// version02 is provenance as slsa-github-generator wrote it.
func version02(builder, source, materials string) string {
	return fmt.Sprintf(`{"builder":{"id":%q},"invocation":{"configSource":{"uri":%q,"digest":{"sha1":"8d2e"}}},"materials":[%s]}`, builder, source, materials)
}

// catalogue 38
func TestProvenanceSaysWhatWasBuiltByWhomFromWhere(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	all := policies.ProvenanceDemand{Builder: slsaBuilder, Source: "https://github.com/acme/web", Ref: "refs/heads/main"}
	source := policies.ProvenanceDemand{Source: "https://github.com/acme/web"}
	main := `{"uri":"git+https://github.com/acme/web@refs/heads/main","digest":{"gitCommit":"8d2e"}}`
	base := `{"uri":"pkg:docker/debian@12","digest":{"sha256":"77aa"}}`
	web := "https://github.com/acme/web"

	tests := []struct {
		because   string
		demand    policies.ProvenanceDemand
		uri       string
		predicate string
		refused   string
	}{
		{"version 1, all as demanded", all, provenance1, version1(slsaBuilder, web, "refs/heads/main", main), ""},
		{"version 0.2, all as demanded", all, provenance02, version02(slsaBuilder, "git+"+web+"@refs/heads/main", `{"uri":"git+`+web+`@refs/heads/main","digest":{"sha1":"8d2e"}}`), ""},
		{"another builder", all, provenance1, version1("https://evil.example/builder", web, "refs/heads/main", main), `its builder is "https://evil.example/builder"`},
		{"a builder that only begins so", all, provenance1, version1(slsaBuilder+".1", web, "refs/heads/main", main), "its builder is"},
		{"a look-alike builder", all, provenance02, version02("https://evil.example/?"+slsaBuilder, "git+"+web+"@refs/heads/main", ""), "its builder is"},
		{"no builder", all, provenance1, `{}`, "it names no builder"},
		{"a builder in version 0.2's place", policies.ProvenanceDemand{Builder: slsaBuilder}, provenance1, version02(slsaBuilder, "", ""), "it names no builder"},
		{"a builder of any version", policies.ProvenanceDemand{Builder: "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v*"}, provenance1, version1(slsaBuilder, web, "", ""), ""},
		{"a star is no slash", policies.ProvenanceDemand{Builder: "https://github.com/*@refs/tags/v2.0.0"}, provenance1, version1(slsaBuilder, web, "", ""), "its builder is"},
		{"dots of a builder are dots", policies.ProvenanceDemand{Builder: "https://b.example/*"}, provenance1, version1("https://bxexample/a", web, "", ""), "its builder is"},
		{"another source", source, provenance1, version1(slsaBuilder, "https://github.com/evil/web", "refs/heads/main", ""), `its source is "https://github.com/evil/web"`},
		{"a source that only begins so", source, provenance1, version1(slsaBuilder, web+"-evil", "refs/heads/main", ""), "its source is"},
		{"a source below it", source, provenance1, version1(slsaBuilder, web+"/evil", "refs/heads/main", ""), "its source is"},
		{"a look-alike source", source, provenance1, version1(slsaBuilder, "https://evil.example/github.com/acme/web", "refs/heads/main", ""), "its source is"},
		{"a source with a user in it", source, provenance1, version1(slsaBuilder, "https://github.com@evil.example/acme/web", "", ""), "has a user in it"},
		{"a source with a way up", source, provenance1, version1(slsaBuilder, "https://github.com/evil/../acme/web", "", ""), "has no plain path"},
		{"a source with an escape", source, provenance1, version1(slsaBuilder, "https://github.com/acme%2fweb", "", ""), "has more in it"},
		{"a source with a query", source, provenance1, version1(slsaBuilder, web+"?x=y", "", ""), "has more in it"},
		{"a source without TLS is another one", source, provenance1, version1(slsaBuilder, "http://github.com/acme/web", "", ""), "its source is"},
		{"no source", source, provenance1, `{"buildDefinition":{}}`, "it names no source repository"},
		{"no source but base images", source, provenance02, version02(slsaBuilder, "", base), "it names no source repository"},
		{"a source written with its suffix and a slash", source, provenance1, version1(slsaBuilder, web+".git/", "refs/heads/main", ""), ""},
		{"a host in upper case", source, provenance1, version1(slsaBuilder, "https://GitHub.com/acme/web", "refs/heads/main", ""), ""},
		{"a path in upper case is another one", source, provenance1, version1(slsaBuilder, "https://github.com/acme/Web", "refs/heads/main", ""), "its source is"},
		{"another ref", all, provenance1, version1(slsaBuilder, web, "refs/heads/evil", ""), `its ref is "refs/heads/evil"`},
		{"a ref that only begins so", all, provenance1, version1(slsaBuilder, web, "refs/heads/main-2", ""), "its ref is"},
		{"a tag of the branch's name", all, provenance1, version1(slsaBuilder, web, "refs/tags/main", ""), "its ref is"},
		{"no ref", all, provenance1, version1(slsaBuilder, web, "", ""), "it names no ref"},
		{"any release branch", policies.ProvenanceDemand{Ref: "refs/heads/release-*"}, provenance1, version1(slsaBuilder, web, "refs/heads/release-1", ""), ""},
		{"a branch below a release branch", policies.ProvenanceDemand{Ref: "refs/heads/release-*"}, provenance1, version1(slsaBuilder, web, "refs/heads/release-1/evil", ""), "its ref is"},
		{"BuildKit's way to write a ref", all, provenance02, version02(slsaBuilder, "https://github.com/acme/web.git#refs/heads/main:cmd", ""), ""},
		{"a dependency from elsewhere makes it ambiguous", source, provenance1, version1(slsaBuilder, web, "refs/heads/main", main+`,{"uri":"git+https://github.com/evil/web@refs/heads/main"}`), "it is ambiguous"},
		{"a material from elsewhere, too", source, provenance02, version02(slsaBuilder, "git+"+web, `{"uri":"git+https://github.com/evil/web"}`), "it is ambiguous"},
		{"a base image does not", source, provenance02, version02(slsaBuilder, "git+"+web+"@refs/heads/main", base), ""},
		{"two refs", source, provenance1, version1(slsaBuilder, web, "refs/heads/other", main), "it contradicts itself: it names the refs"},
		{"two commits", source, provenance02, version02(slsaBuilder, "git+"+web, `{"uri":"git+`+web+`","digest":{"sha1":"77aa"}}`), "it contradicts itself: it names the commits"},
		{"a ref in two ways", source, provenance02, version02(slsaBuilder, web+"@refs/heads/main#refs/heads/evil", ""), "names a ref twice"},
		{"a workflow in provenance of another build type says nothing", source, provenance1, `{"buildDefinition":{"buildType":"https://evil.example/v1","externalParameters":{"workflow":{"repository":"` + web + `"}}}}`, "it names no source repository"},
		{"then the resolved dependency does", source, provenance1, `{"buildDefinition":{"buildType":"https://tekton.dev/v1","resolvedDependencies":[` + main + `]}}`, ""},
		{"names of fields are case-sensitive", source, provenance1, `{"BuildDefinition":{"resolvedDependencies":[` + main + `]}}`, "it names no source repository"},
		{"wrong types all over", source, provenance1, `{"buildDefinition":{"buildType":1,"externalParameters":[],"resolvedDependencies":{"uri":"x"}}}`, "it names no source repository"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			rule := demanding(release, policies.AttestationDemand{Type: tt.uri, Provenance: &tt.demand})
			expect(t, judgeAttested(t, rule, attested{"release", tt.uri, tt.predicate}), tt.refused)
		})
	}
}
