package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// AttestationDemand asks for a statement about an image. Its conditions are all
// to be met by one and the same attestation.
type AttestationDemand struct {
	// Type is the predicate's type, cosign's short name of it or a URI:
	// "slsaprovenance1", "https://slsa.dev/provenance/v1".
	Type string
	// Keys and Identities are who may attest it; the rule's own signers if both
	// are empty. One of them suffices.
	Keys       []Key
	Identities []Identity
	// Every asks that all attestations of the type by these signers meet the
	// conditions, and that there is one. Else one that does is enough. What is
	// not validly signed by one of them never counts, neither for nor against.
	Every bool

	Provenance      *ProvenanceDemand
	Vulnerabilities *VulnerabilityDemand
	// Where are CEL expressions over "predicate" that must all be true.
	Where []string
}

// attestationDemand is a demand as NewTrust understood it.
type attestationDemand struct {
	Type            string // URI
	Every           bool
	signers         []Signer
	provenance      *provenanceDemand
	vulnerabilities *VulnerabilityDemand
	where           []condition
	id              string
}

func (d attestationDemand) contentID() string {
	var where []string
	for _, c := range d.where {
		where = append(where, c.text)
	}
	var provenance ProvenanceDemand
	if d.provenance != nil {
		provenance = d.provenance.ProvenanceDemand
	}
	return contentID("attestation", d.Type, d.Every, ids(d.signers), d.provenance != nil, provenance, d.vulnerabilities, set(where))
}

func (p *ruleParser) attestation(at string, a AttestationDemand) attestationDemand {
	out := attestationDemand{Type: a.Type, Every: a.Every}
	var err error
	if out.Type, err = PredicateType(a.Type); err != nil {
		p.report(at+".type", "%w", err)
	}
	out.signers = p.signers(at, a.Keys, a.Identities)
	if a.Provenance != nil {
		out.provenance = p.provenance(at+".provenance", out.Type, *a.Provenance)
	}
	if a.Vulnerabilities != nil {
		out.vulnerabilities = p.vulnerabilities(at+".vulnerabilities", out.Type, *a.Vulnerabilities)
	}
	for i, expression := range a.Where {
		c, err := compileCondition(expression)
		if err != nil {
			p.report(fmt.Sprintf("%s.where[%d]", at, i), "%w", err)
			continue
		}
		out.where = append(out.where, c)
	}
	return out
}

// unmet says why the evidence does not meet the demand; empty if it does.
func (d attestationDemand) unmet(e Evidence, at time.Time) *unmetAttestation {
	out := &unmetAttestation{demand: d}
	for _, a := range e.Attestations {
		if a.Type != d.Type || !slices.ContainsFunc(d.signers, func(s Signer) bool { return a.By.ID != "" && s.ID() == a.By.ID }) {
			continue
		}
		out.found++
		if cause := d.fails(a, at); cause != "" {
			out.causes = append(out.causes, fmt.Sprintf("of %q: %s", Clip(a.By.Signer, 200), Clip(cause, 400)))
		}
	}
	switch {
	case out.found == 0:
	case d.Every && len(out.causes) == 0, !d.Every && len(out.causes) < out.found:
		return nil
	}
	return out
}

// fails says why one attestation does not meet the conditions; empty if it does.
func (d attestationDemand) fails(a Attestation, at time.Time) string {
	predicate, err := decodePredicate(a.Predicate)
	if err != nil {
		return err.Error()
	}
	if cause := isWhatItSays(d.Type, predicate); cause != "" {
		return cause
	}
	if d.provenance != nil {
		if cause := d.provenance.unmet(d.Type, predicate); cause != "" {
			return cause
		}
	}
	if d.vulnerabilities != nil {
		if cause := d.vulnerabilities.unmet(predicate, at); cause != "" {
			return cause
		}
	}
	for _, c := range d.where {
		if cause := c.unmet(predicate); cause != "" {
			return cause
		}
	}
	return ""
}

// unmetAttestation is a demand that was not met, and why.
type unmetAttestation struct {
	demand attestationDemand
	found  int      // attestations of the type by the signers
	causes []string // why those do not do
}

// demanded is what would be enough.
func (u unmetAttestation) demanded() string {
	amount := "an attestation"
	if u.demand.Every {
		amount = "only attestations"
	}
	s := fmt.Sprintf("%s of type %s by %s", amount, PredicateName(u.demand.Type), by(u.demand.signers, false))
	if conditions := u.demand.conditions(); len(conditions) > 0 {
		s += " with " + strings.Join(conditions, " and ")
	}
	return s
}

// conditions are what is asked of an attestation's content.
func (d attestationDemand) conditions() []string {
	var out []string
	if d.provenance != nil {
		out = append(out, d.provenance.demanded()...)
	}
	if d.vulnerabilities != nil {
		out = append(out, d.vulnerabilities.demanded()...)
	}
	for _, c := range d.where {
		out = append(out, Clip(c.text, 200))
	}
	return out
}

// says is why those that were found do not do; it goes on after the image's name.
func (u unmetAttestation) says() string {
	const shown = 2
	name := PredicateName(u.demand.Type)
	s := fmt.Sprintf("has an attestation of type %s that does not do, ", name)
	if n := len(u.causes); n > 1 {
		s = fmt.Sprintf("has %d attestations of type %s that do not do, ", n, name)
	}
	s += strings.Join(u.causes[:min(shown, len(u.causes))], "; ")
	if more := len(u.causes) - shown; more > 0 {
		s += fmt.Sprintf("; and %d more", more)
	}
	return s
}

// hint is the next step where some were found.
func (u unmetAttestation) hint(image string) string {
	name := PredicateName(u.demand.Type)
	conditions := u.demand.conditions()
	switch {
	case len(conditions) == 0:
		return fmt.Sprintf("Attest a %s that is one", name)
	case u.demand.Every:
		return fmt.Sprintf("Build an image whose every %s has %s", name, strings.Join(conditions, " and "))
	case u.demand.vulnerabilities != nil:
		return fmt.Sprintf("Scan it again and attest the result (cosign attest --type %s --predicate … %s%s), or build it anew without what was found", name, keyFlag(u.demand.signers), image)
	}
	return fmt.Sprintf("Build it so that its %s has %s", name, strings.Join(conditions, " and "))
}

// keyFlag is what cosign needs to sign as one of the signers.
func keyFlag(signers []Signer) string {
	if slices.ContainsFunc(signers, func(s Signer) bool { return s.Identity != nil }) {
		return ""
	}
	return "--key … "
}
