package rego

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/pawl-dev/pawl/policies"
)

// Document is what policies see as input. A field that is not known is left
// out, so that it is undefined in Rego; lists are there even if they are empty.
// docs/policies.md tells the same to those who write policies.
type Document struct {
	// Time is when the release is judged, in UTC: "2026-03-01T12:00:00Z". There
	// is no other clock.
	Time        string      `json:"time"`
	Target      Target      `json:"target"`
	Environment Environment `json:"environment"`
	// Digest identifies the content of the release: "sha256:…".
	Digest string `json:"digest"`
	// Objects are the rendered objects of the release, in the order in which
	// they are applied. Every value in the data and stringData of a Secret is
	// replaced by the text "masked": policies see that it is there, not what it is.
	Objects []map[string]any `json:"objects"`
	// Images are all places with an image in these objects.
	Images []Image `json:"images"`
	// Commit is the id of the commit that is deployed.
	Commit string `json:"commit"`
	// Change is how the release came about; left out if it brings nothing new:
	// the same release was accepted before.
	Change *Change `json:"change,omitempty"`
}

// Target is one application in one environment.
type Target struct {
	Name        string `json:"name"` // "production/web"
	Application string `json:"application,omitempty"`
	Overlay     string `json:"overlay"` // the folder of its kustomization
}

// Environment is the environment of the target.
type Environment struct {
	Name string `json:"name"`
	// After are the environments that come before it; none for the first.
	After []string `json:"after"`
	// Level is its compliance level.
	Level string `json:"level,omitempty"`
}

// Image is one place with an image.
type Image struct {
	Reference  string `json:"reference"`  // as the object has it: "ghcr.io/acme/web:1.9@sha256:…"
	Repository string `json:"repository"` // "ghcr.io/acme/web"; those of Docker Hub begin with "index.docker.io/"
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest"` // "sha256:…"
	Pinned     string `json:"pinned"` // repository@digest
	Object     string `json:"object"` // "Deployment shop-dev/web"
	Field      string `json:"field"`  // "spec.template.spec.containers[0].image"
	// Evidence is what was found for it in its registry.
	Evidence Evidence `json:"evidence"`
}

// Evidence is what was found for an image. All signatures and attestations in
// it are verified and by signers that the agent trusts.
type Evidence struct {
	Exists       bool          `json:"exists"`
	Problem      string        `json:"problem,omitempty"` // why it does not exist
	Signatures   []Signature   `json:"signatures"`
	Attestations []Attestation `json:"attestations"`
	Rejected     []string      `json:"rejected"` // why others do not count
}

// Signature is a valid signature.
type Signature struct {
	Signer  string `json:"signer"`            // its name in the trust rules
	Issuer  string `json:"issuer,omitempty"`  // of a keyless signer
	Subject string `json:"subject,omitempty"` // of a keyless signer
	Scheme  string `json:"scheme"`            // tag or bundle
}

// Attestation is a valid, signed statement about an image.
type Attestation struct {
	Signature
	Type      string `json:"type"`      // of the predicate: "https://slsa.dev/provenance/v1"
	Predicate any    `json:"predicate"` // its content, decoded
}

// Change is how a release that is new to its target came about.
type Change struct {
	// Accepted is the commit that was accepted last, if there is one.
	Accepted string `json:"accepted,omitempty"`
	// Rewritten says that it is no ancestor of the commit.
	Rewritten bool `json:"rewritten"`
	// Commits are those of the branch since that touch what the target is made
	// of, the newest first.
	Commits []Commit `json:"commits"`
}

// Commit is one commit. Author and subject are what anybody can write.
type Commit struct {
	ID       string `json:"id"`
	Author   string `json:"author"` // "Ada Lovelace <ada@example.org>"
	Subject  string `json:"subject"`
	SignedBy string `json:"signedBy,omitempty"` // the trusted signer whose signature it bears
	Problem  string `json:"problem,omitempty"`  // why no signature counts
	// PullRequest is the one by which it came, left out if it was pushed.
	PullRequest *PullRequest `json:"pullRequest,omitempty"`
}

// PullRequest is how people brought a commit about.
type PullRequest struct {
	Number    int      `json:"number"`
	Author    string   `json:"author"`
	Approvals []string `json:"approvals"` // of the very head that was merged
	Rejected  []string `json:"rejected"`  // why other approvals do not count
}

// Input is what all policies see of one release, written once. It may be used by
// several at the same time. The zero Input is denied by every policy.
type Input struct {
	id   uint64
	text []byte // of an inputText
}

// inputs counts those of this process: by its number a child knows what it has.
var inputs atomic.Uint64

// inputText is an input on its way. Each image's evidence is in it once, however
// many places have the image: a bill of materials has megabytes.
type inputText struct {
	Document Document
	Evidence map[string]Evidence // by Image.Pinned
}

// NewInput writes down what is known of a release. It does not keep or change
// the facts.
func NewInput(f policies.Facts) (Input, error) {
	t, err := textOf(f)
	if err != nil {
		return Input{}, fmt.Errorf("%s: make the input of the policies: %w", f.Release.Target, err)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(t); err != nil {
		return Input{}, fmt.Errorf("%s: make the input of the policies: %w", f.Release.Target, err)
	}
	return Input{inputs.Add(1), b.Bytes()}, nil
}

func textOf(f policies.Facts) (inputText, error) {
	t := inputText{document(f), map[string]Evidence{}}
	t.Document.Objects, t.Document.Images = []map[string]any{}, []Image{}
	for _, o := range f.Release.Objects {
		t.Document.Objects = append(t.Document.Objects, maskedObject(o.Object))
	}
	for _, i := range f.Release.Images {
		pinned := i.Pinned()
		t.Document.Images = append(t.Document.Images, Image{
			Reference: i.Reference, Repository: i.Repository, Tag: i.Tag, Digest: i.Digest,
			Pinned: pinned, Object: i.Object, Field: i.Field,
		})
		if _, ok := t.Evidence[pinned]; ok {
			continue
		}
		var err error
		if t.Evidence[pinned], err = evidenceOf(pinned, f.Images[pinned]); err != nil {
			return t, err
		}
	}
	return t, nil
}

// readInput makes of an input's text what policies are evaluated on.
func readInput(text []byte) (ast.Value, error) {
	var t struct {
		Document, Evidence map[string]any
	}
	if err := util.UnmarshalJSON(text, &t); err != nil {
		return nil, err
	}
	for pinned, e := range t.Evidence {
		value, err := ast.InterfaceToValue(e)
		if err != nil {
			return nil, err
		}
		t.Evidence[pinned] = value
	}
	images, _ := t.Document["images"].([]any)
	for _, i := range images {
		if image, ok := i.(map[string]any); ok {
			pinned, _ := image["pinned"].(string)
			image["evidence"] = t.Evidence[pinned]
		}
	}
	return ast.InterfaceToValue(t.Document)
}

// document is the input apart from objects and images.
func document(f policies.Facts) Document {
	d := Document{
		Time: f.At.UTC().Format(time.RFC3339Nano),
		Target: Target{
			Name: f.Release.Target.String(), Application: f.Release.Target.Application, Overlay: f.Release.Target.Overlay,
		},
		Environment: Environment{Name: f.Release.Target.Environment, After: notNil(f.Environment.After), Level: f.Level},
		Digest:      f.Release.Digest,
		Commit:      string(f.Release.Commit),
	}
	if f.Change == nil {
		return d
	}
	d.Change = &Change{Accepted: f.Change.Accepted, Rewritten: f.Change.Rewritten, Commits: []Commit{}}
	for _, c := range f.Change.Commits {
		commit := Commit{ID: c.ID, Author: c.Author, Subject: c.Subject, SignedBy: c.SignedBy, Problem: c.Problem}
		if pr := c.PullRequest; pr != nil {
			commit.PullRequest = &PullRequest{
				Number: pr.Number, Author: pr.Author, Approvals: notNil(pr.Approvals), Rejected: notNil(pr.Rejected),
			}
		}
		d.Change.Commits = append(d.Change.Commits, commit)
	}
	return d
}

// evidenceOf refuses evidence that is of another image, as policies.Judge does.
func evidenceOf(pinned string, found policies.Evidence) (Evidence, error) {
	if found.Image != pinned {
		found = policies.Evidence{Problem: "was not looked at, so nothing is known of it"}
	}
	e := Evidence{
		Exists: found.Exists, Problem: found.Problem, Rejected: notNil(found.Rejected),
		Signatures: []Signature{}, Attestations: []Attestation{},
	}
	for _, s := range found.Signatures {
		e.Signatures = append(e.Signatures, signature(s.By, s.Scheme))
	}
	for _, a := range found.Attestations {
		if !json.Valid(a.Predicate) {
			return e, fmt.Errorf("image %s: the predicate of its attestation %.100q is no JSON", pinned, a.Type)
		}
		e.Attestations = append(e.Attestations, Attestation{signature(a.By, a.Scheme), a.Type, json.RawMessage(a.Predicate)})
	}
	return e, nil
}

func signature(by policies.SignedBy, scheme policies.Scheme) Signature {
	return Signature{Signer: by.Signer, Issuer: by.Issuer, Subject: by.Subject, Scheme: string(scheme)}
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
