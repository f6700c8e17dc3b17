package environments

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Check reports what the schema cannot know of an identity.
func (i Identity) Check(doc *Document, at string) {
	either := func(name, exact, pattern string) {
		switch {
		case exact != "" && pattern != "":
			doc.Report(at, "has both %s and %sPattern; choose one", name, name)
		case exact == "" && pattern == "":
			doc.Report(at, "has neither %s nor %sPattern; a certificate of anybody must not count", name, name)
		}
	}
	either("issuer", i.Issuer, i.IssuerPattern)
	either("subject", i.Subject, i.SubjectPattern)
}

// Bounds of how old a vulnerability scan may be asked to be.
const (
	minScanAge = time.Minute
	maxScanAge = 365 * 24 * time.Hour
)

// Check reports what the schema cannot know of a demand for an attestation.
func (a AttestationDemand) Check(doc *Document, at string) {
	if p := a.Provenance; p != nil && *p == (Provenance{}) {
		doc.Report(at+".provenance", "asks nothing; name a builder, a source or a ref, or take it out")
	}
	v := a.Vulnerabilities
	if v == nil {
		return
	}
	if v.Max == (Severities{}) && v.MaxAge == 0 {
		doc.Report(at+".vulnerabilities", "asks nothing; name a severity under max, or maxAge, or take it out")
	}
	if d := time.Duration(v.MaxAge); d != 0 && (d < minScanAge || d > maxScanAge) {
		doc.Report(at+".vulnerabilities.maxAge", "%s is out of bounds; write %s to %s", v.MaxAge, Duration(minScanAge), Duration(maxScanAge))
	}
}

// Check reports what the schema cannot know of a rule, wherever it is written.
// One that says which images may run at all must name their signers.
func (t Trust[K]) Check(doc *Document, at string, mayRun bool) {
	signers := len(t.Keys) + len(t.Keyless)
	checkIdentities(doc, at, t.Keyless)
	switch {
	case signers == 0 && mayRun:
		doc.Report(at+".keys", "is missing, and so is keyless; name who signs these images")
	case signers+len(t.Attestations) == 0:
		doc.Report(at, "demands nothing; name signers under keys or keyless, or attestations")
	}
	if t.Signers != "" && signers == 0 {
		doc.Report(at+".signers", "is of no use without keys or keyless")
	}
	for i, a := range t.Attestations {
		here := fmt.Sprintf("%s.attestations[%d]", at, i)
		a.Check(doc, here)
		checkIdentities(doc, here, a.Keyless)
		if signers+len(a.Keys)+len(a.Keyless) == 0 {
			doc.Report(here, "has no keys and no keyless, and neither has its rule; name who may attest it")
		}
	}
}

func (s Spec) checkTrust(doc *Document) {
	for i, t := range s.Trust {
		at := fmt.Sprintf("spec.trust[%d]", i)
		t.Check(doc, at, false)
		checkKeys(doc, at, t.Keys)
		for j, a := range t.Attestations {
			checkKeys(doc, fmt.Sprintf("%s.attestations[%d]", at, j), a.Keys)
		}
	}
	for i, folder := range s.Policies {
		at := fmt.Sprintf("spec.policies[%d]", i)
		checkInside(doc, at, folder)
		if first := slices.Index(s.Policies, folder); first < i {
			doc.Report(at, "%s is named twice", quote(folder))
		}
	}
	for i, f := range s.Images {
		f.Check(doc, fmt.Sprintf("spec.images[%d]", i))
	}
}

func checkKeys(doc *Document, at string, keys []Key) {
	for i, k := range keys {
		checkInside(doc, fmt.Sprintf("%s.keys[%d].file", at, i), k.File)
	}
}

func checkIdentities(doc *Document, at string, identities []Identity) {
	for i, identity := range identities {
		identity.Check(doc, fmt.Sprintf("%s.keyless[%d]", at, i))
	}
}

// checkInside reports what is no plain path inside of the repository.
func checkInside(doc *Document, at, file string) {
	if file == "" {
		return
	}
	for _, part := range strings.Split(file, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\:") {
			doc.Report(at, `%s is no path inside of the repository; write it relative to the root, without "." and ".."`, quote(file))
			return
		}
	}
}

// fieldPath is a field as refusals name it: "spec.steps[*].image", or
// "metadata.annotations[example.org/image]" for a key with dots or slashes.
var fieldPath = regexp.MustCompile(`^[^./$\[\]\s]+(\[\*\])*((\.[^./\[\]\s]+|\[[^\[\]\s]*[./][^\[\]\s]*\])(\[\*\])*)*$`)

// Check reports what the schema cannot know of fields with images.
func (f ImageFields) Check(doc *Document, at string) {
	if BuiltIn(f.Group) {
		doc.Report(at+".group", `%s is built into Kubernetes, whose images are known and never ignored; list only custom resources`, quote(f.Group))
	}
	for i, field := range f.Fields {
		if !fieldPath.MatchString(field) {
			doc.Report(fmt.Sprintf("%s.fields[%d]", at, i), `%s is no field; write it like spec.steps[*].image, and a key with dots or slashes like metadata.annotations[example.org/image]`, quote(field))
		}
	}
}
