package rego_test

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var webDigest = strings.Repeat("ab", 32)

const planted = "pl4nted-s3cret"

// release has a Deployment, a Secret, and a kind that holds a Secret.
func release() render.Release {
	var objects []*unstructured.Unstructured
	for _, text := range []string{
		`{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop, annotations: {kubectl.kubernetes.io/last-applied-configuration: ` + planted + `}}, data: {password: ` + planted + `, empty: ""}, stringData: {token: ` + planted + `}}`,
		`{apiVersion: example.org/v1, kind: Bundle, metadata: {name: all}, spec: {manifests: [{kind: Secret, data: ` + planted + `}, {kind: ConfigMap, data: {color: blue}}]}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, labels: {a: b}}, spec: {replicas: 3, template: {spec: {containers: [{name: web, image: "ghcr.io/acme/web:1.9@sha256:` + webDigest + `"}]}}}}`,
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			panic(err)
		}
		objects = append([]*unstructured.Unstructured{o}, objects...)
	}
	return render.Release{
		Target:  environments.Target{Environment: "production", Application: "shop", Overlay: "apps/shop/overlays/production"},
		Commit:  "3f2a000000000000000000000000000000000000",
		Objects: objects,
		Images: []render.Image{{
			Reference: "ghcr.io/acme/web:1.9@sha256:" + webDigest, Repository: "ghcr.io/acme/web", Digest: "sha256:" + webDigest, Tag: "1.9",
			Object: "Deployment shop/web", Field: "spec.template.spec.containers[0].image",
		}},
		Digest: "sha256:" + strings.Repeat("cd", 32),
	}
}

func facts() policies.Facts {
	r := release()
	pinned := r.Images[0].Pinned()
	ada := policies.SignedBy{Signer: "release", Issuer: "https://issuer.example.org", Subject: "https://github.com/acme/web"}
	return policies.Facts{
		Release:     r,
		Environment: environments.Environment{Name: "production", After: []string{"staging"}},
		Level:       "strict",
		At:          time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600)),
		Images: map[string]policies.Evidence{pinned: {
			Image: pinned, Exists: true,
			Signatures:   []policies.Signature{{By: ada, Scheme: policies.SchemeBundle}},
			Attestations: []policies.Attestation{{By: policies.SignedBy{Signer: "scanner"}, Scheme: policies.SchemeTag, Type: "https://slsa.dev/provenance/v1", Predicate: []byte(`{"buildDefinition": {"size": 12345678901234567890}}`)}},
			Rejected:     []string{"a signature by an unknown key"},
		}},
		Change: &policies.Change{
			Accepted: "77be1c2",
			Commits: []policies.Commit{
				{ID: "3f2a", Author: "Ada <ada@example.org>", Subject: "web: 1.9", SignedBy: "ada", PullRequest: &policies.PullRequest{Number: 12, Author: "ada", Approvals: []string{"bob"}, Rejected: []string{"eve approved 77be1c2"}}},
				{ID: "2e1b", Author: "Bob <bob@example.org>", Subject: "web: more", Problem: "is not signed"},
			},
		},
	}
}

func TestTheInputAsPoliciesSeeIt(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(rego.JSON(input(t, facts())), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile("testdata/input.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/input.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// catalogue 128
func TestNoSecretIsInTheInput(t *testing.T) {
	t.Parallel()
	f := facts()
	before := f.Release.Objects[2].DeepCopy()
	text, err := json.Marshal(rego.JSON(input(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), planted) {
		t.Errorf("it is there: %s", text)
	}
	if diff := cmp.Diff(before, f.Release.Objects[2]); diff != "" {
		t.Errorf("the release was changed: %s", diff)
	}
	if !strings.Contains(string(text), `"token":"masked"`) {
		t.Errorf("its keys are not there: %s", text)
	}
}

func TestEvidenceOfAnotherImageIsNotTaken(t *testing.T) {
	t.Parallel()
	f := facts()
	pinned := f.Release.Images[0].Pinned()
	f.Images = map[string]policies.Evidence{pinned: {Image: "ghcr.io/acme/other@sha256:" + webDigest, Exists: true}}
	p := compile(t, one(`deny contains i.evidence.problem if { some i in input.images; not i.evidence.exists }`), nil)
	got := p.Evaluate(t.Context(), input(t, f), rego.Limits{})
	if len(got.Denied) != 1 || got.Denied[0].Text != "was not looked at, so nothing is known of it" {
		t.Errorf("%+v", got)
	}
}

func TestAPredicateThatIsNoJSONMakesNoInput(t *testing.T) {
	t.Parallel()
	f := facts()
	e := f.Images[f.Release.Images[0].Pinned()]
	e.Attestations[0].Predicate = []byte(planted)
	_, err := rego.NewInput(f)
	if err == nil || !strings.Contains(err.Error(), "production/shop: make the input of the policies: image ghcr.io/acme/web@sha256:") || strings.Contains(err.Error(), planted) {
		t.Errorf("%v", err)
	}
}

// The lists of the input are there even if nothing is known, so that "every" and
// "count" work on them.
func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	t.Parallel()
	p := compile(t, one(`
		deny contains "a change" if input.change
		deny contains "no change" if not input.change
		deny contains "level" if not input.environment.level
		deny contains "after" if count(input.environment.after) == 0
		deny contains "evidence" if count(input.images[_].evidence.signatures) == 0`), nil)
	got := p.Evaluate(t.Context(), input(t, policies.Facts{Release: release()}), rego.Limits{})
	var said []string
	for _, m := range got.Denied {
		said = append(said, m.Text)
	}
	if diff := cmp.Diff([]string{"after", "evidence", "level", "no change"}, said); diff != "" {
		t.Error(diff)
	}
}
