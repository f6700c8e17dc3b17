package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/policies"
)

// Baselines makes the baseline of a configuration, anew when one of its files
// or Secrets changes: a key can be rotated and a trust root renewed without a
// restart.
type Baselines struct {
	config   Config
	policies Policies
	secret   func(context.Context, SecretKey) ([]byte, error)
	now      func() time.Time

	mu   sync.Mutex
	last *Baseline
	seen string // what last was made of
	// stats are what the files looked like when they were read, and asked is when
	// the Secrets were.
	stats map[string]string
	asked time.Time
	// roots are the last good copies of trust roots, by file.
	roots map[string]rootCopy
}

type rootCopy struct {
	text []byte
	read time.Time
}

// secretPoll is how long a Secret's entry counts before it is read again.
const secretPoll = time.Minute

// NewBaselines reads nothing yet. secret reads Secrets of the agent's namespace.
func NewBaselines(config Config, compiler Policies, secret func(context.Context, SecretKey) ([]byte, error)) *Baselines {
	return &Baselines{config: config, policies: compiler, secret: secret, now: time.Now, roots: map[string]rootCopy{}}
}

// Get returns the baseline as it is now: the same one as long as nothing has
// changed. A key or policy that cannot be read is an error, because what it
// demanded is unknown; of a trust root the last good copy counts for a while.
func (b *Baselines) Get() (*Baseline, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	stats := b.look()
	if b.last != nil && !b.changed(stats) && !b.overdue(now) {
		return b.last, nil
	}
	r := &baselineReader{Baselines: b, now: now, hash: sha256.New(), secrets: map[SecretKey][]byte{}}
	next, err := r.read()
	if err != nil {
		b.stats = nil // whatever comes next is looked at
		return nil, err
	}
	b.stats, b.asked = stats, now
	if seen := hex.EncodeToString(r.hash.Sum(nil)); b.last == nil || seen != b.seen {
		b.last, b.seen = next, seen
	}
	return b.last, nil
}

// look takes a look at every file, without reading it.
func (b *Baselines) look() map[string]string {
	stats := map[string]string{}
	note := func(file string) {
		if file == "" {
			return
		}
		info, err := os.Stat(file)
		if err != nil {
			stats[file] = err.Error()
			return
		}
		stats[file] = fmt.Sprintf("%d %s", info.Size(), info.ModTime().Format(time.RFC3339Nano))
	}
	for _, key := range b.config.keys() {
		note(key.File)
	}
	for _, s := range b.config.Sigstore {
		note(s.TrustedRoot)
	}
	for _, p := range b.config.Policies {
		if p.Folder == "" {
			continue
		}
		note(p.Folder)
		_ = filepath.WalkDir(p.Folder, func(file string, entry os.DirEntry, err error) error {
			if err == nil {
				note(file)
			}
			return nil
		})
	}
	return stats
}

func (b *Baselines) changed(stats map[string]string) bool {
	if len(stats) != len(b.stats) {
		return true
	}
	for file, looks := range stats {
		if b.stats[file] != looks {
			return true
		}
	}
	return false
}

// overdue reports whether Secrets, or roots that could not be read, are to be
// looked at again.
func (b *Baselines) overdue(now time.Time) bool {
	for _, s := range b.config.Sigstore {
		if _, err := os.Stat(s.TrustedRoot); err != nil && now.Sub(b.roots[s.TrustedRoot].read) > time.Duration(s.MaxAge) {
			return true
		}
	}
	if now.Sub(b.asked) < secretPoll {
		return false
	}
	for _, key := range b.config.keys() {
		if key.Secret != nil {
			return true
		}
	}
	return false
}

// baselineReader reads everything that a baseline is made of, once.
type baselineReader struct {
	*Baselines
	now     time.Time
	hash    hash.Hash
	secrets map[SecretKey][]byte
	result  Baseline
}

func (r *baselineReader) read() (*Baseline, error) {
	r.result = Baseline{Levels: map[string]Level{}, Environments: map[string]EnvironmentBaseline{}, Policies: map[string]Policy{}, GitHub: r.config.Commits.GitHub}
	for i, s := range r.config.Sigstore {
		root, err := r.root(s)
		if err != nil {
			return nil, fmt.Errorf("sigstore[%d].trustedRoot: %w", i, err)
		}
		r.result.Roots = append(r.result.Roots, root)
	}
	rules, err := r.rules("trust", r.config.Trust)
	if err != nil {
		return nil, err
	}
	if r.result.Trust, err = policies.NewTrust(rules); err != nil {
		return nil, err
	}
	for i, p := range r.config.Policies {
		policy, err := r.policy(p)
		if err != nil {
			return nil, fmt.Errorf("policies[%d]: %w", i, err)
		}
		r.note([]byte(policy.Name() + " " + policy.ID()))
		r.result.Policies[p.Name] = policy
	}
	for i, l := range r.config.Levels {
		rules, err := r.rules(fmt.Sprintf("levels[%d].trust", i), l.Trust)
		if err != nil {
			return nil, err
		}
		level := Level{Policies: l.Policies, Approvals: l.Approvals, Commits: l.Commits.demand()}
		if level.Trust, err = policies.NewTightening(rules); err != nil {
			return nil, fmt.Errorf("levels[%d]: %w", i, err)
		}
		r.result.Levels[l.Name] = level
	}
	for _, e := range r.config.Environments {
		r.result.Environments[e.Name] = EnvironmentBaseline{Level: e.Level, FollowRewrites: e.Rewrites == RewritesFollow}
	}
	return &r.result, r.signers()
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

func (r *baselineReader) note(content []byte) {
	fmt.Fprintf(r.hash, "%d ", len(content))
	_, _ = r.hash.Write(content)
}

func (r *baselineReader) signers() (err error) {
	var list []gitsync.Signer
	for i, k := range r.config.Commits.Signers {
		text, err := r.key(k)
		if err != nil {
			return fmt.Errorf("commits.signers[%d]: %w", i, err)
		}
		list = append(list, gitsync.Signer{Name: k.Name, Key: string(text)})
	}
	if r.result.Signers, err = gitsync.NewSigners(list); err != nil {
		return fmt.Errorf("commits.signers: %w", err)
	}
	return nil
}

func (r *baselineReader) policy(p PolicyConfig) (Policy, error) {
	if p.Shipped != "" {
		return r.policies.Shipped(p.Name, p.Shipped, p.Parameters)
	}
	return r.policies.Compile(p.Name, os.DirFS(p.Folder), ".", p.Parameters)
}

// root reads a trust root, or takes its last good copy.
func (r *baselineReader) root(s SigstoreConfig) (policies.Root, error) {
	text, err := os.ReadFile(s.TrustedRoot)
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("%s is empty", s.TrustedRoot)
	}
	held, ok := r.roots[s.TrustedRoot]
	switch {
	case err == nil:
		r.roots[s.TrustedRoot] = rootCopy{text, r.now}
	case !ok:
		return policies.Root{}, err
	case r.now.Sub(held.read) > time.Duration(s.MaxAge):
		return policies.Root{}, fmt.Errorf("%w; the last good copy is of %s, which is longer ago than maxAge (%s)", err, held.read.UTC().Format(time.RFC3339), s.MaxAge)
	default:
		text = held.text
	}
	r.note(text)
	return policies.Root{
		Name: s.Name, JSON: text,
		TransparencyLog: s.TransparencyLog == Required, Timestamp: s.Timestamp == Required, CertificateLog: s.CertificateLog == Required,
	}, nil
}

// key reads a public key.
func (r *baselineReader) key(k KeyConfig) (text []byte, err error) {
	if k.Secret == nil {
		text, err = os.ReadFile(k.File)
	} else if known, ok := r.secrets[*k.Secret]; ok {
		text = known
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), secretTimeout)
		defer cancel()
		if text, err = r.secret(ctx, *k.Secret); err == nil {
			r.secrets[*k.Secret] = text
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read public key %q: %w", k.Name, err)
	}
	r.note(text)
	return text, nil
}

// secretTimeout bounds one look at a Secret.
const secretTimeout = 10 * time.Second

func (r *baselineReader) rules(at string, list []TrustConfig) ([]policies.Rule, error) {
	var rules []policies.Rule
	for i, t := range list {
		here := fmt.Sprintf("%s[%d]", at, i)
		rule := policies.Rule{Images: t.Images, All: t.Signers == environments.AllSigners}
		var err error
		if rule.Keys, rule.Identities, err = r.who(here, t.Keys, t.Keyless); err != nil {
			return nil, err
		}
		for j, a := range t.Attestations {
			place := fmt.Sprintf("%s.attestations[%d]", here, j)
			demand, err := attestationOf(a.AttestationDemand)
			if err != nil {
				return nil, fmt.Errorf("%s.type: %w", place, err)
			}
			if demand.Keys, demand.Identities, err = r.who(place, a.Keys, a.Keyless); err != nil {
				return nil, err
			}
			rule.Attestations = append(rule.Attestations, demand)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// who reads signers.
func (r *baselineReader) who(at string, keys []KeyConfig, identities []environments.Identity) (k []policies.Key, ids []policies.Identity, err error) {
	for i, one := range keys {
		text, err := r.key(one)
		if err != nil {
			return nil, nil, fmt.Errorf("%s.keys[%d]: %w", at, i, err)
		}
		file := one.File
		if one.Secret != nil {
			file = fmt.Sprintf("Secret %s, %s", one.Secret.Name, one.Secret.Key)
		}
		k = append(k, policies.Key{Name: one.Name, File: file, PEM: text})
	}
	for i, one := range identities {
		identity, err := identityOf(one, r.result.root)
		if err != nil {
			return nil, nil, fmt.Errorf("%s.keyless[%d]: %w", at, i, err)
		}
		ids = append(ids, identity)
	}
	return k, ids, nil
}
