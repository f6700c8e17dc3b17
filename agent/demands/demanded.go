package demands

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// Demanded is what a repository's pawl.yaml demands beside the baseline.
type Demanded struct {
	Repository
	// Health is how the health of custom resources is told.
	Health drift.HealthChecks

	trust    policies.Trust
	policies []Policy
	levels   map[string]string // by environment
	// settings are what pawl.yaml says of each environment, and files what all of
	// this was read from: files and folders.
	settings map[string]string
	files    []string
}

// RepositoryProblem says that what a commit demands cannot be used. Nothing
// can be judged by it, so the whole commit is refused.
type RepositoryProblem struct {
	Commit gitsync.Commit
	Field  string // "spec.policies[0]"
	Err    error
}

func (e *RepositoryProblem) Error() string {
	return fmt.Sprintf("%s: %s: %v", PipelineFile, e.Field, e.Err)
}

func (e *RepositoryProblem) Unwrap() error { return e.Err }

// Demand makes a repository's demands usable: it reads the keys and compiles
// the policies that lie in the revision, and its health checks.
func (b *Baseline) Demand(p Repository, compiler Policies) (*Demanded, error) {
	d := &Demanded{
		Repository: p, levels: map[string]string{}, settings: map[string]string{},
		files: slices.Concat([]string{PipelineFile}, p.Pipeline.Spec.Policies),
	}
	fail := func(field string, err error) (*Demanded, error) {
		return nil, &RepositoryProblem{Commit: p.Revision.Commit, Field: field, Err: err}
	}
	for i, e := range p.Pipeline.Spec.Environments {
		d.levels[e.Name] = e.Level
		if field, err := drift.CheckIgnore(e.Ignore); err != nil {
			return fail(fmt.Sprintf("spec.environments[%d].ignore%s", i, field), err)
		}
		settings, err := json.Marshal(e)
		if err != nil {
			return fail("spec.environments", err)
		}
		d.settings[e.Name] = string(settings)
	}
	var problem *RepositoryProblem // the first
	rules := ruleReader[environments.Key]{
		key: func(k environments.Key) (policies.Key, error) {
			d.files = append(d.files, k.File)
			text, err := p.Revision.Tree.Read(k.File)
			if err != nil {
				return policies.Key{}, fmt.Errorf("read public key %q from %s: %w", k.Name, k.File, err)
			}
			return policies.Key{Name: k.Name, File: k.File, PEM: text}, nil
		},
		root: b.root,
		wrong: func(field string, err error) {
			if problem == nil {
				problem = &RepositoryProblem{Commit: p.Revision.Commit, Field: field, Err: err}
			}
		},
	}.read("spec.trust", p.Pipeline.Spec.Trust)
	if problem != nil {
		return nil, problem
	}
	var err error
	if d.trust, err = policies.NewTightening(rules); err != nil {
		return fail("spec", err)
	}
	for i, folder := range p.Pipeline.Spec.Policies {
		policy, err := compiler.Compile(repositoryPolicy(folder), p.Revision.Tree.FS(), folder, nil)
		if err != nil {
			return fail(fmt.Sprintf("spec.policies[%d]", i), err)
		}
		d.policies = append(d.policies, policy)
	}
	var field string
	if d.Health, field, err = drift.NewHealthChecks(p.Pipeline.Spec.Health); err != nil {
		return fail("spec.health"+field, err)
	}
	return d, nil
}

// Nothing is what a commit that cannot be read is taken to demand, where what
// runs already met its demands.
func Nothing(commit gitsync.Commit) *Demanded {
	trust, err := policies.NewTightening(nil)
	if err != nil {
		panic(err) // of no rules there is nothing to be wrong
	}
	return &Demanded{Repository: Repository{Revision: gitsync.Revision{Commit: commit}}, trust: trust}
}

// Check reports whether what a repository demands can be used, as far as that
// can be told without an agent's configuration: trust roots are taken to be
// there.
func Check(r Repository, compiler Policies) error {
	someRoot := &Baseline{anyRoot: true}
	_, err := someRoot.Demand(r, compiler)
	return err
}

// repositoryPolicy names a policy of the repository so that no policy of the
// agent's configuration has the same name.
func repositoryPolicy(folder string) string { return "./" + folder }

// alike reports whether two trees are the same in all that the demands and
// settings were read from.
func (d *Demanded) alike(a, b gitsync.Tree) bool {
	return !slices.ContainsFunc(d.files, func(file string) bool {
		x, _ := a.Lookup(file)
		y, _ := b.Lookup(file)
		return x.Kind != y.Kind || x.Hash != y.Hash
	})
}

// Fingerprint identifies what the repository demands of an environment, and how
// it wants it kept.
func (d *Demanded) Fingerprint(environment string) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q", d.levels[environment], d.settings[environment], policies.Demands{Trust: d.trust}.Fingerprint())
	for _, p := range d.policies {
		fmt.Fprintf(hash, " %q %q", p.Name(), p.ID())
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// add adds what the repository demands of an environment.
func (d *Demanded) add(a asked, base *Baseline, environment string) (asked, error) {
	more := policies.NoDemands()
	more.Trust = d.trust
	for _, p := range d.policies {
		more.Policies = append(more.Policies, p.Name())
	}
	return base.addLevel(a.add(more, d.policies), environment, d.levels[environment])
}

// before is the repository's demands under names of their own, to be asked
// beside those of a later commit: the same folder may hold something else now.
func (d *Demanded) before(now *Demanded) *Demanded {
	earlier := *d
	earlier.policies = nil
	for _, p := range d.policies {
		same := false
		for _, n := range now.policies {
			same = same || n.Name() == p.Name() && n.ID() == p.ID()
		}
		if !same {
			p = renamed{p, p.Name() + " before this commit"}
		}
		earlier.policies = append(earlier.policies, p)
	}
	return &earlier
}

// renamed is a policy that reports call something else.
type renamed struct {
	Policy
	name string
}

func (r renamed) Name() string { return r.name }
