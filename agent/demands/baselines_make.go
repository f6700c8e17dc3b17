package demands

import (
	"fmt"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// newBaseline makes the baseline of a configuration and what it names. The
// error names everything that is wrong.
func newBaseline(config BaselineConfig, of map[string]EnvironmentBaseline, m material, compiler Policies) (*Baseline, error) {
	maker := baselineMaker{config: config, material: m, made: &Baseline{
		Levels: map[string]Level{}, Environments: of, Policies: map[string]Policy{}, GitHub: config.Commits.GitHub,
	}}
	made, wrong := maker.made, &maker.wrong
	for _, s := range config.Sigstore {
		made.Roots = append(made.Roots, s.root(m.roots[s.Name]))
	}
	var err error
	made.Trust, err = policies.NewTrust(maker.rules("trust", config.Trust))
	wrong.below("", err)
	for i, p := range config.Policies {
		policy, err := maker.policy(p, compiler)
		wrong.report(fmt.Sprintf("policies[%d]", i), err)
		made.Policies[p.Name] = policy
	}
	for i, l := range config.Levels {
		at := fmt.Sprintf("levels[%d].", i)
		level := Level{Policies: l.Policies, Approvals: l.Approvals, Commits: l.Commits.demand()}
		level.Trust, err = policies.NewTightening(maker.rules(at+"trust", l.Trust))
		wrong.below(at, err)
		made.Levels[l.Name] = level
	}
	var signers []gitsync.Signer
	for _, k := range config.Commits.Signers {
		signers = append(signers, gitsync.Signer{Name: k.Name, Key: string(m.keys[k.source()])})
	}
	made.Signers, err = gitsync.NewSigners(signers)
	wrong.below("commits.signers: ", err)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	return made, nil
}

type baselineMaker struct {
	config   BaselineConfig
	material material
	made     *Baseline
	wrong    problems
}

func (m *baselineMaker) policy(p PolicyConfig, compiler Policies) (Policy, error) {
	if p.Shipped != "" {
		return compiler.Shipped(p.Name, p.Shipped, p.Parameters)
	}
	return compiler.Compile(p.Name, m.material.policies[p.Name].FS(), ".", p.Parameters)
}

func (m *baselineMaker) rules(at string, list []TrustConfig) []policies.Rule {
	var rules []policies.Rule
	for i, t := range list {
		here := fmt.Sprintf("%s[%d]", at, i)
		rule := policies.Rule{Images: t.Images, All: t.Signers == environments.AllSigners}
		rule.Keys, rule.Identities = m.keys(t.Keys), m.identities(here, t.Keyless)
		for j, a := range t.Attestations {
			place := fmt.Sprintf("%s.attestations[%d]", here, j)
			demand, err := attestationOf(a.AttestationDemand)
			if err != nil {
				m.wrong.report(place+".type", err)
				continue
			}
			demand.Keys, demand.Identities = m.keys(a.Keys), m.identities(place, a.Keyless)
			rule.Attestations = append(rule.Attestations, demand)
		}
		rules = append(rules, rule)
	}
	return rules
}

func (m *baselineMaker) keys(list []KeyConfig) (keys []policies.Key) {
	for _, k := range list {
		keys = append(keys, policies.Key{Name: k.Name, File: k.source(), PEM: m.material.keys[k.source()]})
	}
	return keys
}

func (m *baselineMaker) identities(at string, list []environments.Identity) (identities []policies.Identity) {
	for i, one := range list {
		identity, err := identityOf(one, m.made.root)
		if err != nil {
			m.wrong.report(fmt.Sprintf("%s.keyless[%d]", at, i), err)
			continue
		}
		identities = append(identities, identity)
	}
	return identities
}

// demand is what the policies call it.
func (s SignedCommits) demand() policies.SignedCommits {
	switch s {
	case CommitsHead:
		return policies.SignedHead
	case CommitsEvery:
		return policies.SignedEvery
	}
	return policies.SignedNone
}
