package demands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/internal/mounted"
	"github.com/pawl-dev/pawl/policies"
)

// material is the content of all that a configuration names: what a baseline is
// made of.
type material struct {
	keys     map[string][]byte        // by KeyConfig.source
	roots    map[string][]byte        // by name
	policies map[string]mounted.Files // of folders, by the policy's name
}

func (m material) digest() string {
	hash := sha256.New()
	add := func(kind, name string, content []byte) {
		fmt.Fprintf(hash, "%s %q %d ", kind, name, len(content))
		hash.Write(content)
	}
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		add("key", name, m.keys[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.roots)) {
		add("root", name, m.roots[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.policies)) {
		add("policy", name, nil)
		for _, file := range slices.Sorted(maps.Keys(m.policies[name])) {
			add("file", file, m.policies[name][file])
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// problems collects what is wrong, each with its place in the configuration.
type problems []error

func (p *problems) report(at string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", at, err))
	}
}

// below takes over what is wrong with parts that name their own places.
func (p *problems) below(at string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			p.below(at, one)
		}
	} else if err != nil {
		*p = append(*p, fmt.Errorf("%s%w", at, err))
	}
}

func (p problems) err() error { return errors.Join(p...) }

// secretTimeout bounds one look at all Secrets.
const secretTimeout = 10 * time.Second

// gather reads everything.
func (b *Baselines) gather(now time.Time) (material, error) {
	m := material{keys: map[string][]byte{}, roots: map[string][]byte{}, policies: map[string]mounted.Files{}}
	var wrong problems
	for i, s := range b.config.Sigstore {
		text, err := b.root(s, now)
		wrong.report(fmt.Sprintf("sigstore[%d].trustedRoot", i), err)
		m.roots[s.Name] = text
	}
	ctx, cancel := context.WithTimeout(context.Background(), secretTimeout)
	defer cancel()
	failed := map[string]error{}
	for at, k := range b.config.keys() {
		source := k.source()
		if _, read := m.keys[source]; !read {
			m.keys[source], failed[source] = b.key(ctx, k)
		}
		if err := failed[source]; err != nil {
			wrong.report(at, fmt.Errorf("read public key %q: %w", k.Name, err))
		}
	}
	for i, p := range b.config.Policies {
		if p.Folder != "" {
			var err error
			m.policies[p.Name], err = mounted.Folder(p.Folder)
			wrong.report(fmt.Sprintf("policies[%d].folder", i), err)
		}
	}
	return m, wrong.err()
}

// source is where a key is kept: its file, or its Secret.
func (k KeyConfig) source() string {
	if k.Secret != nil {
		return fmt.Sprintf("Secret %s, %s", k.Secret.Name, k.Secret.Key)
	}
	return k.File
}

func (b *Baselines) key(ctx context.Context, k KeyConfig) ([]byte, error) {
	if k.Secret != nil {
		return b.options.Secret(ctx, *k.Secret)
	}
	return mounted.Read(k.File)
}

// rootCopy is the last content of a trust root that could be used, and when it
// was last seen.
type rootCopy struct {
	text    []byte
	seen    time.Time
	problem string // why the file is not that now; empty if it is
}

// root reads a trust root, or takes its last good copy. One that cannot be used
// is like one that cannot be read: it may be half written.
func (b *Baselines) root(s SigstoreConfig, now time.Time) ([]byte, error) {
	held, ok := b.roots[s.Name]
	text, err := mounted.Read(s.TrustedRoot)
	if err == nil && !(ok && string(text) == string(held.text)) && b.options.CheckRoot != nil {
		if err = b.options.CheckRoot(s.root(text)); err != nil {
			err = fmt.Errorf("%s %w", s.TrustedRoot, err)
		}
	}
	log := b.options.Log.With().Str("root", s.Name).Logger()
	switch {
	case err == nil:
		if ok && held.problem != "" {
			log.Info().Msg("the trust root can be read again")
		}
		b.roots[s.Name] = &rootCopy{text: text, seen: now}
		return text, nil
	case !ok:
		return nil, err
	}
	maxAge := time.Duration(s.MaxAge)
	if now.Sub(held.seen) > maxAge {
		return nil, fmt.Errorf("%w; its last good copy is of %s, which is longer ago than maxAge (%s)", err, held.seen.UTC().Format(time.RFC3339), s.MaxAge)
	}
	if held.problem != err.Error() {
		held.problem = err.Error()
		log.Warn().Err(err).Time("until", held.seen.Add(maxAge)).Msg("the trust root cannot be read; its last good copy counts for a while")
	}
	return held.text, nil
}

// root is the trust root with this content.
func (s SigstoreConfig) root(text []byte) policies.Root {
	return policies.Root{
		Name: s.Name, JSON: text,
		TransparencyLog: s.TransparencyLog == Required, Timestamp: s.Timestamp == Required, CertificateLog: s.CertificateLog == Required,
	}
}
