package demands

import (
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
)

// ruleReader makes policies' rules of those that people write, whose public keys
// are named by K. It goes on after what is wrong, so that all of it is told.
type ruleReader[K any] struct {
	key   func(K) (policies.Key, error)
	root  func(string) (policies.Root, error)
	wrong func(at string, err error)
}

func (r ruleReader[K]) read(at string, list []environments.Trust[K]) []policies.Rule {
	var rules []policies.Rule
	for i, t := range list {
		here := fmt.Sprintf("%s[%d]", at, i)
		rule := policies.Rule{Images: t.Images, All: t.Signers == environments.AllSigners}
		rule.Keys, rule.Identities = r.keys(here, t.Keys), r.identities(here, t.Keyless)
		for j, a := range t.Attestations {
			place := fmt.Sprintf("%s.attestations[%d]", here, j)
			demand, err := attestationOf(a.AttestationDemand)
			if err != nil {
				r.wrong(place+".type", err)
				continue
			}
			demand.Keys, demand.Identities = r.keys(place, a.Keys), r.identities(place, a.Keyless)
			rule.Attestations = append(rule.Attestations, demand)
		}
		rules = append(rules, rule)
	}
	return rules
}

func (r ruleReader[K]) keys(at string, list []K) (keys []policies.Key) {
	for i, one := range list {
		key, err := r.key(one)
		if err != nil {
			r.wrong(fmt.Sprintf("%s.keys[%d].file", at, i), err)
			continue
		}
		keys = append(keys, key)
	}
	return keys
}

func (r ruleReader[K]) identities(at string, list []environments.Identity) (identities []policies.Identity) {
	for i, one := range list {
		root, err := r.root(one.Root)
		if err != nil {
			r.wrong(fmt.Sprintf("%s.keyless[%d]", at, i), err)
			continue
		}
		identities = append(identities, policies.Identity{
			Name: one.Name, Root: root,
			Issuer: one.Issuer, IssuerPattern: one.IssuerPattern, Subject: one.Subject, SubjectPattern: one.SubjectPattern,
		})
	}
	return identities
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
