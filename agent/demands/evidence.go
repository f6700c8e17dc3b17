package demands

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
)

// identityOf reads a keyless signer with its trust root.
func identityOf(i environments.Identity, root func(string) (policies.Root, error)) (policies.Identity, error) {
	r, err := root(i.Root)
	if err != nil {
		return policies.Identity{}, err
	}
	return policies.Identity{
		Name: i.Name, Root: r,
		Issuer: i.Issuer, IssuerPattern: i.IssuerPattern, Subject: i.Subject, SubjectPattern: i.SubjectPattern,
	}, nil
}

// attestationOf reads a demand, without who may attest it.
func attestationOf(a environments.AttestationDemand) (policies.AttestationDemand, error) {
	uri, err := policies.PredicateType(a.Type)
	if err != nil {
		return policies.AttestationDemand{}, err
	}
	demand := policies.AttestationDemand{Type: uri, Every: a.Match == environments.MatchEvery, Where: a.Where}
	if p := a.Provenance; p != nil {
		demand.Provenance = &policies.ProvenanceDemand{Builder: p.Builder, Source: p.Source, Ref: p.Ref}
	}
	if v := a.Vulnerabilities; v != nil {
		demand.Vulnerabilities = &policies.VulnerabilityDemand{Max: v.Max.Map(), MaxAge: time.Duration(v.MaxAge)}
	}
	return demand, nil
}
