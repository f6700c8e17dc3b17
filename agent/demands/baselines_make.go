package demands

import (
	"fmt"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// newBaseline makes the baseline of a configuration and what it names. The
// error names everything that is wrong.
func newBaseline(config BaselineConfig, of map[string]EnvironmentBaseline, m material, compiler Policies) (*Baseline, error) {
	made := &Baseline{Levels: map[string]Level{}, Environments: of, Policies: map[string]Policy{}, GitHub: config.Commits.GitHub}
	var wrong problems
	for _, s := range config.Sigstore {
		made.Roots = append(made.Roots, s.root(m.roots[s.Name]))
	}
	rules := ruleReader[KeyConfig]{
		key: func(k KeyConfig) (policies.Key, error) {
			return policies.Key{Name: k.Name, File: k.source(), PEM: m.keys[k.source()]}, nil
		},
		root: made.root, wrong: wrong.report,
	}
	var err error
	made.Trust, err = policies.NewTrust(rules.read("trust", config.Trust))
	wrong.below("", err)
	for i, p := range config.Policies {
		policy, err := m.compile(p, compiler)
		wrong.report(fmt.Sprintf("policies[%d]", i), err)
		made.Policies[p.Name] = policy
	}
	for i, l := range config.Levels {
		at := fmt.Sprintf("levels[%d].", i)
		level := Level{Policies: l.Policies, Approvals: l.Approvals, Commits: l.Commits.demand()}
		level.Trust, err = policies.NewTightening(rules.read(at+"trust", l.Trust))
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

// compile compiles a policy of the configuration.
func (m material) compile(p PolicyConfig, compiler Policies) (Policy, error) {
	if p.Shipped != "" {
		return compiler.Shipped(p.Name, p.Shipped, p.Parameters)
	}
	return compiler.Compile(p.Name, m.policies[p.Name].FS(), ".", p.Parameters)
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
