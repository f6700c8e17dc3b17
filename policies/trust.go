package policies

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Rule demands evidence of the images that it covers.
type Rule struct {
	// Images is the pattern of the repositories: "ghcr.io/acme/*", where "*"
	// matches within one path segment and "**" any number of segments. "**"
	// alone is every image.
	Images string
	// Keys and Identities are the signers. A valid signature by any one of them
	// satisfies the rule, or only by all of them where All is set.
	Keys       []Key
	Identities []Identity
	All        bool
	// Attestations that each image needs beside its signature, every one of them.
	Attestations []AttestationDemand
}

// Trust is what must be known of an image before it runs. Rules add up: an
// image must be covered by at least one, and satisfies every one that covers
// it. So more rules never let more through, except for images that none
// covered before. The zero Trust refuses every image, whatever is added to it.
type Trust struct {
	// baselines say what may run at all: an image must be covered by each of
	// them. None is one that covers nothing, unless adds is set.
	baselines [][]trustRule
	// added are rules that are demanded where they match, and cover nothing.
	added []trustRule
	// adds says that there is no baseline: this is only there to be added.
	adds bool
	// all says that every attestation by the signers is wanted.
	all bool
}

// trustRule is a rule as NewTrust understood it.
type trustRule struct {
	images       string
	pattern      pattern
	signers      []Signer
	all          bool
	attestations []attestationDemand
	added        bool // by NewTightening
	id           string
}

// NewTrust checks the rules and everything in them, and reports every problem
// with its path: `trust[0].keyless[1].subjectPattern: …`. What no rule covers
// may not run.
func NewTrust(rules []Rule) (Trust, error) {
	parsed, err := parseRules(rules, false)
	if err != nil {
		return Trust{}, err
	}
	return Trust{baselines: [][]trustRule{parsed}}, nil
}

// NewTightening makes trust of rules that may only refuse more, such as the
// repository's own, to be added to another (And). By itself it covers nothing,
// so it refuses every image; without rules it changes nothing. Its rules need
// no signers of their own where all that they demand is attestations with
// signers.
func NewTightening(rules []Rule) (Trust, error) {
	parsed, err := parseRules(rules, true)
	if err != nil {
		return Trust{}, err
	}
	return Trust{added: parsed, adds: true}, nil
}

// And is trust that demands what both demand. It covers what both cover, and
// tightening changes nothing about that. Neither order nor repetition matters.
func (t Trust) And(other Trust) Trust {
	out := Trust{adds: t.adds && other.adds, all: t.all || other.all}
	for _, baseline := range append(t.sets(), other.sets()...) {
		if !slices.ContainsFunc(out.baselines, func(b []trustRule) bool { return slices.Equal(ruleIDs(b), ruleIDs(baseline)) }) {
			out.baselines = append(out.baselines, baseline)
		}
	}
	for _, rule := range slices.Concat(t.added, other.added) {
		if !slices.ContainsFunc(out.added, func(r trustRule) bool { return r.id == rule.id }) {
			out.added = append(out.added, rule)
		}
	}
	out.tellApart()
	return out
}

// tellApart gives signers of added rules another name where it is also that of
// a different signer: whoever writes the added rules must not be able to have
// reports say that "release" signed.
func (t *Trust) tellApart() {
	named := map[string][]string{} // the contents by name
	for _, rules := range append(slices.Clone(t.baselines), t.added) {
		for _, r := range rules {
			for _, s := range r.everySigner() {
				named[s.Name()] = set(append(named[s.Name()], s.ID()))
			}
		}
	}
	renamed := func(signers []Signer) []Signer {
		signers = slices.Clone(signers)
		for i, s := range signers {
			if len(named[s.Name()]) > 1 {
				signers[i] = s.called(fmt.Sprintf("%s (%s)", s.Name(), Clip(s.ID(), len("sha256:")+12)))
			}
		}
		return signers
	}
	for i, r := range t.added {
		r.signers, r.attestations = renamed(r.signers), slices.Clone(r.attestations)
		for j := range r.attestations {
			r.attestations[j].signers = renamed(r.attestations[j].signers)
		}
		t.added[i] = r
	}
}

// everySigner are those of the rule and of the attestations that it demands.
func (r trustRule) everySigner() []Signer {
	out := slices.Clone(r.signers)
	for _, a := range r.attestations {
		out = append(out, a.signers...)
	}
	return out
}

// WithAttestations is the same trust, but asks whoever collects evidence for
// all attestations by its signers, whether a rule demands them or not. Policies
// read them.
func (t Trust) WithAttestations() Trust {
	t.all = true
	return t
}

// sets are the baselines, of which the zero trust has one without rules.
func (t Trust) sets() [][]trustRule {
	if len(t.baselines) == 0 && !t.adds {
		return [][]trustRule{nil}
	}
	return t.baselines
}

// covering are the rules that an image of the repository must satisfy. Without
// any, it may not run.
func (t Trust) covering(repository string) []trustRule {
	matching := func(rules []trustRule) []trustRule {
		return slices.DeleteFunc(slices.Clone(rules), func(r trustRule) bool { return !r.pattern.covers(repository) })
	}
	var out []trustRule
	for _, baseline := range t.sets() {
		rules := matching(baseline)
		if len(rules) == 0 {
			return nil
		}
		out = append(out, rules...)
	}
	if len(out) == 0 {
		return nil // nothing but tightening
	}
	return append(out, matching(t.added)...)
}

// Covers reports whether images of a repository, given in its normal form, may
// run at all, provided that they satisfy the rules.
func (t Trust) Covers(repository string) bool { return len(t.covering(repository)) > 0 }

// Signers returns the distinct signers of all rules that cover a repository and
// of the attestations that these demand: the signers worth looking for.
func (t Trust) Signers(repository string) []Signer {
	var out []Signer
	for _, r := range t.covering(repository) {
		out = append(out, r.everySigner()...)
	}
	return distinct(out)
}

// Satisfied reports whether the evidence meets every rule that covers the
// repository at this time, and there is one. Judge asks the same and says what
// is missing.
func (t Trust) Satisfied(repository string, e Evidence, at time.Time) bool {
	rules := t.covering(repository)
	if !e.Exists || len(rules) == 0 {
		return false
	}
	for _, r := range rules {
		if len(r.unmet(e, at)) > 0 {
			return false
		}
	}
	return true
}

// WantsAll says that evidence which satisfies the rules is not enough for an
// image of the repository: a rule demands that every attestation of a type
// meets its conditions, or policies read them all. So whoever collects must
// look at everything, and may not remember for long that there was no more.
func (t Trust) WantsAll(repository string) bool {
	rules := t.covering(repository)
	return len(rules) > 0 && t.all || slices.ContainsFunc(rules, func(r trustRule) bool {
		return slices.ContainsFunc(r.attestations, func(a attestationDemand) bool { return a.Every })
	})
}

// Fingerprint identifies all that evidence for the repository depends on: what
// was collected for one is good for another of the same fingerprint. Whether it
// satisfies the rules is another question each time, because time is part of
// the answer.
func (t Trust) Fingerprint(repository string) string {
	return contentID("trust of a repository", ruleIDs(t.covering(repository)), t.all)
}

// fingerprint identifies the trust as a whole.
func (t Trust) fingerprint() string {
	var baselines []string
	for _, b := range t.sets() {
		baselines = append(baselines, contentID("baseline", ruleIDs(b)))
	}
	return contentID("trust", set(baselines), ruleIDs(t.added), t.adds, t.all)
}

func ruleIDs(rules []trustRule) []string {
	out := make([]string, 0, len(rules))
	for _, r := range rules {
		out = append(out, r.id)
	}
	return set(out)
}

// ruleParser remembers names, which tell signers apart in every report.
type ruleParser struct {
	problems []error
	names    map[string]Signer
}

func parseRules(rules []Rule, added bool) ([]trustRule, error) {
	p := &ruleParser{names: map[string]Signer{}}
	var out []trustRule
	for i, r := range rules {
		out = append(out, p.rule(fmt.Sprintf("trust[%d]", i), r, added))
	}
	if len(p.problems) > 0 {
		return nil, errors.Join(p.problems...)
	}
	return out, nil
}

func (p *ruleParser) report(at, format string, values ...any) {
	p.problems = append(p.problems, fmt.Errorf("%s: %w", at, fmt.Errorf(format, values...)))
}

func (p *ruleParser) rule(at string, r Rule, added bool) trustRule {
	out := trustRule{images: r.Images, all: r.All, added: added}
	var err error
	if out.pattern, err = parsePattern(r.Images); err != nil {
		p.report(at+".images", "%w", err)
	}
	switch none := len(r.Keys)+len(r.Identities) == 0; {
	case none && !added:
		p.report(at+".keys", "is empty, and so is keyless, so nothing could ever satisfy it; name at least one public key or identity")
	case none && len(r.Attestations) == 0:
		p.report(at, "demands nothing; name signers under keys or keyless, or attestations")
	}
	out.signers = p.signers(at, r.Keys, r.Identities)
	var demanded []string
	for i, a := range r.Attestations {
		here := fmt.Sprintf("%s.attestations[%d]", at, i)
		demand := p.attestation(here, a)
		if len(a.Keys)+len(a.Identities) == 0 {
			demand.signers = out.signers
			if len(r.Keys)+len(r.Identities) == 0 {
				p.report(here, "has no keys and no keyless, and neither has its rule; name who may attest it")
			}
		}
		demand.id = demand.contentID()
		out.attestations = append(out.attestations, demand)
		demanded = append(demanded, demand.id)
	}
	out.id = contentID("rule", out.images, ids(out.signers), out.all, set(demanded), out.added)
	return out
}

func (p *ruleParser) signers(at string, keys []Key, identities []Identity) []Signer {
	var goodKeys []Key
	var goodIdentities []Identity
	for i, k := range keys {
		here := fmt.Sprintf("%s.keys[%d]", at, i)
		k, err := parseKey(k)
		if err != nil {
			p.report(here, "%w", err)
			continue
		}
		p.named(here, Signer{Key: &k})
		goodKeys = append(goodKeys, k)
	}
	for i, identity := range identities {
		here := fmt.Sprintf("%s.keyless[%d]", at, i)
		identity, err := parseIdentity(here, identity)
		if err != nil {
			p.problems = append(p.problems, err)
			continue
		}
		p.named(here, Signer{Identity: &identity})
		goodIdentities = append(goodIdentities, identity)
	}
	return signersOf(goodKeys, goodIdentities)
}

func (p *ruleParser) named(at string, s Signer) {
	describe := func(s Signer) string {
		if s.Key != nil {
			return s.Key.String()
		}
		return fmt.Sprintf("identity %q", Clip(s.Identity.Name, 200))
	}
	if other, ok := p.names[s.Name()]; ok && other.ID() != s.ID() {
		p.report(at, "%s has the same name as the different %s; names tell signers apart in every report", describe(s), describe(other))
	}
	p.names[s.Name()] = s
}
