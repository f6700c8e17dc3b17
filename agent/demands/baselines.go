package demands

import (
	"context"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/pawl-dev/pawl/internal/mounted"
	"github.com/pawl-dev/pawl/policies"
)

// Baselines makes the baseline of a configuration, anew when one of its files
// or Secrets changes: a key can be rotated and a trust root renewed without a
// restart. It is safe for concurrent use.
type Baselines struct {
	config       BaselineConfig
	environments map[string]EnvironmentBaseline
	options      Options

	mu   sync.Mutex
	last *Baseline
	made string // the digest of what last was made of
	// failed is why there is no baseline now, nil if there is one.
	failed error
	// looks are what the files looked like just before they were read; all was
	// read at read.
	looks map[string]look
	read  time.Time
	roots map[string]*rootCopy // the last good ones, by name
}

// Options are what a baseline is made with.
type Options struct {
	// Policies compiles those of the configuration.
	Policies Policies
	// Secret reads an entry of a Secret in the agent's namespace.
	Secret func(context.Context, SecretKey) ([]byte, error)
	// CheckRoot tells whether a trust root can be used, but for its age; nil
	// leaves that to whoever verifies by it.
	CheckRoot func(policies.Root) error
	// Log is told what changed, and which trust root counts though it is gone.
	Log zerolog.Logger
	// Now is time.Now if nil.
	Now func() time.Time
}

const (
	// readAgain is how long Secrets count, and files that look the same: a file
	// can be replaced by another of its size and time.
	readAgain = time.Minute
	// failAgain is how long a failure counts, as long as the files look the same:
	// an API server that does not answer is not asked by every target in turn.
	failAgain = 5 * time.Second
)

// NewBaselines reads nothing yet.
func NewBaselines(config BaselineConfig, environments map[string]EnvironmentBaseline, o Options) *Baselines {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Baselines{config: config, environments: environments, options: o, roots: map[string]*rootCopy{}}
}

// Get returns the baseline as it is now: the same one as long as nothing has
// changed. A key or policy that cannot be used is an error, because what it
// demanded is unknown; of a trust root the last good copy counts for a while.
// The error names everything that cannot be read, or else everything that
// cannot be used, each with its place in the configuration.
func (b *Baselines) Get() (*Baseline, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.options.Now()
	looks := b.look() // before they are read: what changes in between is seen by the next
	if age := now.Sub(b.read); b.looks != nil && sameLooks(looks, b.looks) {
		switch {
		case b.failed != nil && age < failAgain:
			return nil, b.failed
		case b.failed == nil && age < readAgain:
			return b.last, nil
		}
	}
	b.looks, b.failed = looks, b.renew(now)
	b.read = b.options.Now() // afterwards: a failure can take longer than it counts
	if b.failed != nil {
		return nil, b.failed
	}
	return b.last, nil
}

// renew reads everything and makes another baseline if anything in it is new.
func (b *Baselines) renew(now time.Time) error {
	found, err := b.gather(now)
	if err != nil {
		return err
	}
	digest := found.digest()
	if b.last != nil && digest == b.made {
		return nil
	}
	next, err := newBaseline(b.config, b.environments, found, b.options.Policies)
	if err != nil {
		return err
	}
	if b.last != nil {
		b.options.Log.Info().Msg("keys, trust roots or policies of the configuration have changed")
	}
	b.last, b.made = next, digest
	return nil
}

// look is what a file looks like from outside.
type look struct {
	info    fs.FileInfo
	problem string
}

func lookAt(file string) look {
	info, err := os.Stat(file)
	if err != nil {
		return look{problem: err.Error()}
	}
	return look{info: info}
}

func (l look) same(other look) bool {
	if l.info == nil || other.info == nil {
		return l.info == nil && other.info == nil && l.problem == other.problem
	}
	return l.info.Size() == other.info.Size() && l.info.Mode() == other.info.Mode() &&
		l.info.ModTime().Equal(other.info.ModTime()) && os.SameFile(l.info, other.info)
}

func sameLooks(a, b map[string]look) bool {
	if len(a) != len(b) {
		return false
	}
	for file, l := range a {
		if other, ok := b[file]; !ok || !l.same(other) {
			return false
		}
	}
	return true
}

// look looks at every file, without reading it.
func (b *Baselines) look() map[string]look {
	looks := map[string]look{}
	for _, key := range b.config.keys() {
		if key.File != "" {
			looks[key.File] = lookAt(key.File)
		}
	}
	for _, s := range b.config.Sigstore {
		looks[s.TrustedRoot] = lookAt(s.TrustedRoot)
	}
	for _, p := range b.config.Policies {
		if p.Folder == "" {
			continue
		}
		err := mounted.Walk(p.Folder, func(file, _ string, info fs.FileInfo) error {
			looks[file] = look{info: info}
			return nil
		})
		if err != nil {
			looks[p.Folder] = look{problem: err.Error()}
		}
	}
	return looks
}
