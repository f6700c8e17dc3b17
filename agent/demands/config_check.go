package demands

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/mounted"
)

// JSONSchemaExtend is read by the schema's writer.
func (KeyConfig) JSONSchemaExtend(s *jsonschema.Schema) { environments.ExactlyOne(s, "file", "secret") }

// JSONSchemaExtend is read by the schema's writer.
func (PolicyConfig) JSONSchemaExtend(s *jsonschema.Schema) {
	environments.ExactlyOne(s, "shipped", "folder")
}

// Bounds of how long a trust root counts that can no longer be read.
const (
	minRootAge = time.Minute
	maxRootAge = 30 * 24 * time.Hour
)

// Check reports what the schema cannot know.
func (c BaselineConfig) Check(doc *environments.Document) {
	c.checkSigstore(doc)
	c.checkTrust(doc)
	c.checkPolicies(doc)
	c.checkLevels(doc)
}

// CheckFiles reports what cannot be read of all that is named.
func (c BaselineConfig) CheckFiles(doc *environments.Document) {
	readable := func(at, file string) {
		if file == "" {
			return
		}
		if _, err := mounted.Read(file); err != nil {
			doc.Report(at, "cannot be read: %v", err)
		}
	}
	for at, key := range c.keys() {
		readable(at+".file", key.File)
	}
	for i, s := range c.Sigstore {
		readable(fmt.Sprintf("sigstore[%d].trustedRoot", i), s.TrustedRoot)
	}
	for i, p := range c.Policies {
		if p.Folder == "" {
			continue
		}
		if _, err := mounted.Folder(p.Folder); err != nil {
			doc.Report(fmt.Sprintf("policies[%d].folder", i), "cannot be read: %v", err)
		}
	}
}

// WithDefaults fills in what was left out. These are all the defaults.
func (c BaselineConfig) WithDefaults() BaselineConfig {
	c.Sigstore = slices.Clone(c.Sigstore)
	for i := range c.Sigstore {
		s := &c.Sigstore[i]
		s.TransparencyLog = cmp.Or(s.TransparencyLog, Required)
		s.Timestamp = cmp.Or(s.Timestamp, Ignored)
		s.CertificateLog = cmp.Or(s.CertificateLog, Required)
		s.MaxAge = cmp.Or(s.MaxAge, environments.Duration(24*time.Hour))
	}
	return c
}

func (c BaselineConfig) checkSigstore(doc *environments.Document) {
	unique := newNames(doc, "sigstore")
	for i, s := range c.Sigstore {
		at := fmt.Sprintf("sigstore[%d]", i)
		unique.check(i, s.Name)
		if s.TransparencyLog == Ignored && s.Timestamp != Required {
			doc.Report(at+".transparencyLog", "is ignored, and so is timestamp; require one of them, as nothing else tells when a short-lived certificate was used")
		}
		if d := time.Duration(s.MaxAge); d != 0 && (d < minRootAge || d > maxRootAge) {
			doc.Report(at+".maxAge", "%s is out of bounds; write %s to %s", s.MaxAge, environments.Duration(minRootAge), environments.Duration(maxRootAge))
		}
	}
}

func (c BaselineConfig) checkTrust(doc *environments.Document) {
	// The same name for another key would make reports lie.
	sources := map[string]string{}
	for at, key := range c.keys() {
		source := key.File
		if key.Secret != nil {
			source = "Secret " + key.Secret.Name + "/" + key.Secret.Key
		}
		if other, ok := sources[key.Name]; ok && key.Name != "" && other != source {
			doc.Report(at+".name", "%q is the name of the key in %q already; names tell signers apart in every report", key.Name, other)
			continue
		}
		sources[key.Name] = source
	}
	for at, rules := range c.trust() {
		for i, rule := range rules {
			here := fmt.Sprintf("%s[%d]", at, i)
			rule.Check(doc, here, at == "trust")
			c.checkRoots(doc, here, rule.Keyless)
			for j, a := range rule.Attestations {
				c.checkRoots(doc, fmt.Sprintf("%s.attestations[%d]", here, j), a.Keyless)
			}
		}
	}
}

// checkRoots reports signers whose trust root is not there.
func (c BaselineConfig) checkRoots(doc *environments.Document, at string, identities []environments.Identity) {
	for i, identity := range identities {
		here := fmt.Sprintf("%s.keyless[%d]", at, i)
		if len(c.Sigstore) == 0 {
			doc.Report(here, "needs a trust root; name one under sigstore")
		} else if !slices.ContainsFunc(c.Sigstore, func(s SigstoreConfig) bool { return identity.Root == "" || s.Name == identity.Root }) {
			doc.Report(here+".root", "%q is not under sigstore%s", identity.Root, environments.DidYouMean(identity.Root, c.roots()))
		}
	}
}

func (c BaselineConfig) roots() []string {
	var names []string
	for _, s := range c.Sigstore {
		names = append(names, s.Name)
	}
	return names
}

func (c BaselineConfig) checkPolicies(doc *environments.Document) {
	unique := newNames(doc, "policies")
	for i, p := range c.Policies {
		unique.check(i, p.Name)
	}
}

func (c BaselineConfig) checkLevels(doc *environments.Document) {
	unique := newNames(doc, "levels")
	var known []string
	for _, p := range c.Policies {
		known = append(known, p.Name)
	}
	for i, l := range c.Levels {
		at := fmt.Sprintf("levels[%d]", i)
		unique.check(i, l.Name)
		for j, name := range l.Policies {
			if !slices.Contains(known, name) {
				doc.Report(fmt.Sprintf("%s.policies[%d]", at, j), "%q is not under policies%s", name, environments.DidYouMean(name, known))
			}
		}
		if (l.Commits == CommitsHead || l.Commits == CommitsEvery) && len(c.Commits.Signers) == 0 && !c.Commits.GitHub {
			doc.Report(at+".commits", "could never be satisfied: no signer is under commits.signers, and commits.github is not set")
		}
	}
}

// CheckLevel reports a level that is named and not there.
func (c BaselineConfig) CheckLevel(doc *environments.Document, at, name string) {
	var levels []string
	for _, l := range c.Levels {
		levels = append(levels, l.Name)
	}
	if name != "" && !slices.Contains(levels, name) {
		doc.Report(at, "%q is not under levels%s", name, environments.DidYouMean(name, levels))
	}
}

// names reports names that are there twice in a list.
type names struct {
	doc  *environments.Document
	list string
	seen map[string]int
}

func newNames(doc *environments.Document, list string) names {
	return names{doc, list, map[string]int{}}
}

func (n names) check(i int, name string) {
	if first, twice := n.seen[name]; twice && name != "" {
		n.doc.Report(fmt.Sprintf("%s[%d].name", n.list, i), "%q is the name of %s[%d] already; give each its own", name, n.list, first)
		return
	}
	n.seen[name] = i
}

// trust are all lists of rules, each with its path.
func (c BaselineConfig) trust() iter.Seq2[string, []TrustConfig] {
	return func(yield func(string, []TrustConfig) bool) {
		if !yield("trust", c.Trust) {
			return
		}
		for i, l := range c.Levels {
			if !yield(fmt.Sprintf("levels[%d].trust", i), l.Trust) {
				return
			}
		}
	}
}

// keys are all public keys, each with its path.
func (c BaselineConfig) keys() iter.Seq2[string, KeyConfig] {
	return func(yield func(string, KeyConfig) bool) {
		list := func(at string, keys []KeyConfig) bool {
			for i, k := range keys {
				if !yield(fmt.Sprintf("%s[%d]", at, i), k) {
					return false
				}
			}
			return true
		}
		for at, rules := range c.trust() {
			for i, rule := range rules {
				here := fmt.Sprintf("%s[%d]", at, i)
				if !list(here+".keys", rule.Keys) {
					return
				}
				for j, a := range rule.Attestations {
					if !list(fmt.Sprintf("%s.attestations[%d].keys", here, j), a.Keys) {
						return
					}
				}
			}
		}
		list("commits.signers", c.Commits.Signers)
	}
}
