package policies_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const digestB = "sha256:77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa77aa"

func imageOf(repository, digest, object string) render.Image {
	return render.Image{
		Reference:  repository + "@" + digest,
		Repository: repository,
		Digest:     digest,
		Object:     object,
		Field:      "spec.template.spec.containers[0].image",
	}
}

func releaseOf(images ...render.Image) render.Release {
	return render.Release{
		Target: environments.Target{Environment: "production", Application: "web"},
		Commit: "8d2e1a7000000000000000000000000000000000",
		Objects: []*unstructured.Unstructured{{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "web", "namespace": "shop"},
			"spec":     map[string]any{"replicas": int64(2)},
		}}},
		Images: images,
		Digest: "sha256:release",
	}
}

// signedBy is the evidence of an image that the named keys of the trust signed.
func signedBy(trust policies.Trust, image render.Image, names ...string) map[string]policies.Evidence {
	e := policies.Evidence{Image: image.Pinned(), Exists: true}
	for _, n := range names {
		for _, s := range trust.Signers(image.Repository) {
			if s.Name() == n {
				e.Signatures = append(e.Signatures, policies.Signature{By: policies.SignedBy{Signer: n, ID: s.ID()}, Scheme: policies.SchemeTag})
			}
		}
	}
	return map[string]policies.Evidence{image.Pinned(): e}
}

// catalogue 30
func TestJudge(t *testing.T) {
	t.Parallel()
	release := policies.Key{Name: "release", PEM: publicKey(t)}
	backup := policies.Key{Name: "backup", PEM: publicKey(t)}
	security := policies.Key{Name: "security", PEM: publicKey(t)}
	trust := trustOf(t,
		policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{release, backup}},
		policies.Rule{Images: "ghcr.io/acme/vault", Keys: []policies.Key{security}},
	)
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	vault := imageOf("ghcr.io/acme/vault", digestA, "Deployment shop/vault")
	unpinned := render.Image{Reference: "ghcr.io/acme/web:1.9", Repository: "ghcr.io/acme/web", Object: "Deployment shop/web", Field: "f"}
	sha512 := imageOf("ghcr.io/acme/web", "sha512:"+strings.Repeat("a", 128), "Deployment shop/web")
	stray := web
	stray.Reference = "ghcr.io/acme/web@" + digestB
	stranger := imageOf("docker.io/library/redis", digestA, "Deployment shop/web")
	stranger.Repository = "index.docker.io/library/redis"

	edit := func(m map[string]policies.Evidence, f func(*policies.Evidence)) map[string]policies.Evidence {
		for k, e := range m {
			f(&e)
			m[k] = e
		}
		return m
	}
	tests := []struct {
		because  string
		release  render.Release
		evidence map[string]policies.Evidence
		refused  string // empty means verified
	}{
		{"signed by the key of its rule", releaseOf(web), signedBy(trust, web, "release"), ""},
		{"any one key of a rule is enough", releaseOf(web), signedBy(trust, web, "backup"), ""},
		{"every covering rule is satisfied", releaseOf(vault), signedBy(trust, vault, "backup", "security"), ""},
		{"no images need no signatures", releaseOf(), nil, ""},
		{"one rule does not stand for another", releaseOf(vault), signedBy(trust, vault, "release", "backup"), `has no signature by the key "security"`},
		{"nor the other way round", releaseOf(vault), signedBy(trust, vault, "security"), `has no signature by one of the keys "release", "backup"`},
		{"not signed", releaseOf(web), signedBy(trust, web), `has no signature by one of the keys "release", "backup"`},
		{"no evidence", releaseOf(web), nil, "was not looked at"},
		{"evidence of another image", releaseOf(web), edit(signedBy(trust, web, "release"), func(e *policies.Evidence) { e.Image = "ghcr.io/acme/web@" + digestB }), "was not looked at"},
		{"gone from the registry", releaseOf(web), edit(signedBy(trust, web, "release"), func(e *policies.Evidence) { e.Exists = false }), "is not in the registry"},
		{"a key of the same name but other content", releaseOf(web), edit(signedBy(trust, web, "release"), func(e *policies.Evidence) { e.Signatures[0].By.ID = "sha256:other" }), "has no signature"},
		{"a signature without a key", releaseOf(web), edit(signedBy(trust, web, "release"), func(e *policies.Evidence) { e.Signatures[0].By.ID = "" }), "has no signature"},
		{"one good image does not carry another", releaseOf(web, vault), signedBy(trust, web, "release"), "ghcr.io/acme/vault"},
		{"covered by no rule", releaseOf(stranger), nil, "index.docker.io/library/redis@sha256:3f1c3f1c3f1c… is covered by no trust rule"},
		{"unpinned", releaseOf(unpinned), nil, "image ghcr.io/acme/web:1.9 is not pinned by a digest"},
		{"pinned by something else", releaseOf(sha512), signedBy(trust, sha512, "release"), "only sha256 digests are accepted"},
		{"another digest than was looked at", releaseOf(stray), signedBy(trust, stray, "release"), "was rendered as"},
		{"the zero release", render.Release{}, nil, "nothing was rendered"},
		{"a release without objects", render.Release{Digest: "sha256:x"}, nil, "has no objects"},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			v, err := policies.Judge(tt.release, policies.Demands{Trust: trust}, policies.Findings{Images: tt.evidence})
			if tt.refused == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if v.IsZero() || len(v.Evidence()) != len(tt.release.Images) {
					t.Errorf("verified %v with %d pieces of evidence for %d images", !v.IsZero(), len(v.Evidence()), len(tt.release.Images))
				}
				return
			}
			var refusal *policies.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("got  %v\nwant a refusal with %s", err, tt.refused)
			}
			if !v.IsZero() {
				t.Error("what is refused must not be verified")
			}
		})
	}
	t.Run("the zero trust refuses every image", func(t *testing.T) {
		t.Parallel()
		if v, err := policies.Judge(releaseOf(web), policies.Demands{Trust: policies.Trust{}}, policies.Findings{Images: signedBy(trust, web, "release")}); err == nil || !v.IsZero() {
			t.Error("let through")
		}
	})
}

func TestWhatWasJudgedCannotBeChangedAfterwards(t *testing.T) {
	t.Parallel()
	trust := trustOf(t, policies.Rule{Images: "**", Keys: []policies.Key{{Name: "release", PEM: publicKey(t)}}})
	web := imageOf("ghcr.io/acme/web", digestA, "Deployment shop/web")
	release := releaseOf(web)
	evidence := signedBy(trust, web, "release")
	v, err := policies.Judge(release, policies.Demands{Trust: trust}, policies.Findings{Images: evidence})
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(r render.Release) {
		r.Objects[0].Object["spec"].(map[string]any)["replicas"] = int64(0)
		r.Images[0].Digest = digestB
	}
	want := v.Release()
	spoil(release)
	spoil(v.Release())
	evidence[web.Pinned()].Signatures[0].By.Signer = "mallory"
	v.Evidence()[0].Signatures[0].By.Signer = "mallory"
	if got := v.Release(); !reflect.DeepEqual(got, want) {
		t.Errorf("the verified release changed to %v", got)
	}
	if got := v.Evidence()[0].Signatures[0].By.Signer; got != "release" {
		t.Errorf("the evidence changed to %q", got)
	}
}

func TestRefusalsAsPeopleReadThem(t *testing.T) {
	t.Parallel()
	trust := trustOf(t, policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{{Name: "release", PEM: publicKey(t)}}})
	web := imageOf("ghcr.io/acme/web", digestB, "Deployment shop/web")
	sidecar := web
	sidecar.Field = "spec.template.spec.initContainers[0].image"
	redis := imageOf("index.docker.io/library/redis", digestA, "StatefulSet shop/redis")
	unpinned := render.Image{Reference: "ghcr.io/acme/api:1.9", Repository: "ghcr.io/acme/api", Object: "CronJob shop/api", Field: "spec.jobTemplate.spec.template.spec.containers[0].image"}
	rejected := signedBy(trust, web)
	e := rejected[web.Pinned()]
	e.Rejected = []string{"the signature in sha256-77aa….sig is by none of the trusted keys"}
	rejected[web.Pinned()] = e
	gone := signedBy(trust, web)
	e = gone[web.Pinned()]
	e.Exists, e.Problem = false, "is not in the registry (ghcr.io answered 404)"
	gone[web.Pinned()] = e

	for name, tt := range map[string]struct {
		release  render.Release
		evidence map[string]policies.Evidence
	}{
		"unsigned":      {releaseOf(web), signedBy(trust, web)},
		"foreign key":   {releaseOf(web), rejected},
		"deleted":       {releaseOf(web), gone},
		"several":       {releaseOf(unpinned, web, sidecar, redis), signedBy(trust, web)},
		"empty release": {releaseWithoutObjects(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policies.Judge(tt.release, policies.Demands{Trust: trust}, policies.Findings{Images: tt.evidence})
			if err == nil {
				t.Fatal("not refused")
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".txt", err.Error()+"\n")
		})
	}
}

func TestRefusalsOfEverythingElseAsPeopleReadThem(t *testing.T) {
	t.Parallel()
	key := policies.Key{Name: "release", PEM: publicKey(t)}
	trust := trustOf(t, policies.Rule{Images: "ghcr.io/acme/*", Keys: []policies.Key{key}, Identities: []policies.Identity{identityOf(githubIssuer, workflow)}, All: true, Attestations: []policies.AttestationDemand{
		{Type: "slsaprovenance1", Provenance: &policies.ProvenanceDemand{Builder: slsaBuilder, Source: "https://github.com/acme/web", Ref: "refs/heads/main"}},
		{Type: "cyclonedx"},
		{Type: "vuln", Vulnerabilities: &policies.VulnerabilityDemand{Max: map[string]int{"critical": 0, "high": 2}, MaxAge: 168 * time.Hour}},
		{Type: review, Every: true, Where: []string{"predicate.approved == true", "size(predicate.by) > 1"}},
	}})
	demands := policies.Demands{Trust: trust, Policies: []string{"restricted-pods", "network"}, Commit: policies.CommitDemand{Signed: policies.SignedEvery}, Approvals: 2}
	web := imageOf("ghcr.io/acme/web", digestB, "Deployment shop/web")
	web.File, web.Line = "apps/web/overlays/production/kustomization.yaml", 9
	evidence := func(said ...attested) map[string]policies.Evidence {
		found := signedBy(trust, web, "release", "workflow")
		e := found[web.Pinned()]
		for _, a := range said {
			e.Attestations = append(e.Attestations, policies.Attestation{By: e.Signatures[0].By, Type: a.uri, Predicate: []byte(a.predicate)})
		}
		found[web.Pinned()] = e
		return found
	}
	provenance := attested{"", provenance1, version1(slsaBuilder, "https://github.com/acme/web", "refs/heads/main", "")}
	bill := attested{"", cycloneDX, `{"bomFormat":"CycloneDX"}`}
	clean := attested{"", scan, `{"scanner":{"result":[]},"metadata":{"scanFinishedOn":"2026-03-01T11:00:00Z"}}`}
	reviewed := attested{"", review, `{"approved":true,"by":["ada","bob"]}`}
	answers := []policies.PolicyResult{{Policy: "network"}, {Policy: "restricted-pods"}}
	denied := []policies.PolicyResult{{Policy: "restricted-pods", Denied: []policies.PolicyMessage{
		{Rule: "deny_root", Text: "container web must not run as root.", Object: "Deployment shop/web"},
		{Rule: "deny_host", Text: "hostNetwork is not allowed", Object: "DaemonSet shop/log"},
	}}, {Policy: "network", Problem: "data.main.deny is undefined"}}
	came := policies.Change{Accepted: accepted, Rewritten: true, Commits: []policies.Commit{
		{ID: "8d2e1a7000000000000000000000000000000000", Author: "Ada <ada@acme.dev>", Subject: "use the new queue", SignedBy: "ada", PullRequest: &policies.PullRequest{Number: 12, Author: "ada", Approvals: []string{"bob", "ada"}}},
		{ID: "3f1c3f1000000000000000000000000000000000", Author: "Eve <eve@acme.dev>", Subject: "quick fix", Problem: "is signed by a key that nobody trusts"},
	}}

	for name, found := range map[string]policies.Findings{
		"nothing attested":    {At: now, Images: evidence(), Policies: answers},
		"one attestation off": {At: now, Images: evidence(bill, clean, reviewed, attested{"", provenance1, version1(slsaBuilder, "https://github.com/evil/web", "refs/heads/main", "")}), Policies: answers},
		"an old scan":         {At: now.AddDate(0, 0, 10), Images: evidence(provenance, bill, clean, reviewed), Policies: answers},
		"not every review":    {At: now, Images: evidence(provenance, bill, clean, reviewed, attested{"", review, `{"approved":true,"by":["ada"]}`}), Policies: answers},
		"no bill":             {At: now, Images: evidence(provenance, attested{"", cycloneDX, `{}`}, clean, reviewed), Policies: answers},
		"policies":            {At: now, Images: evidence(provenance, bill, clean, reviewed), Policies: denied},
		"change":              {At: now, Images: evidence(provenance, bill, clean, reviewed), Policies: answers, Change: &came},
		"everything":          {At: now, Change: &came},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := releaseOf(web)
			release.Places = map[string]render.Place{"Deployment shop/web": {File: "apps/web/base/deployment.yaml", Line: 7}}
			_, err := policies.Judge(release, demands, found)
			if err == nil {
				t.Fatal("not refused")
			}
			golden(t, strings.ReplaceAll(name, " ", "-")+".txt", err.Error()+"\n")
		})
	}
}

func releaseWithoutObjects() render.Release {
	r := releaseOf()
	r.Objects = nil
	return r
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "refusals", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (rewrite with -update)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}
