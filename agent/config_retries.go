package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// RetriesConfig says how soon a target that failed is tried again. A new commit
// is looked at at once, whatever was tried before.
type RetriesConfig struct {
	// What may pass by itself, such as a registry that does not answer.
	Transient RetryConfig `json:"transient,omitempty,omitzero"`
	// What needs a person, such as an image that is not signed. It is looked at
	// again because what they do may be invisible in git.
	Stalled RetryConfig `json:"stalled,omitempty,omitzero"`
	// Single reasons of docs/reasons.md; what one leaves out is as above.
	Reasons map[string]RetryConfig `json:"reasons,omitempty"`
}

// RetryConfig is how the waits between tries grow. Up to half of each wait is
// taken off at random, so that many targets do not try in step.
type RetryConfig struct {
	// The wait after the first failure, 100ms to 1h.
	Base environments.Duration `json:"base,omitempty"`
	// By how much each wait is longer than the one before.
	Factor float64 `json:"factor,omitempty" jsonschema:"minimum=1,maximum=10"`
	// The longest wait, base to 24h.
	Cap environments.Duration `json:"cap,omitempty"`
	// The tries after which a cause that might have passed counts as stalled, and
	// is tried at that pace; 0 for none, which is what transient has if it is left
	// out. Not for what is stalled anyway.
	Limit *int `json:"limit,omitempty" jsonschema:"minimum=0,maximum=1000"`
}

// prerequisiteTries are some minutes by default. What did not come until then may be
// misspelled, and a check that never ends helps nobody.
const prerequisiteTries = 10

// Bounds of the waits.
const (
	minRetryBase, maxRetryBase = 100 * time.Millisecond, time.Hour
	maxRetryCap                = 24 * time.Hour
)

func (c RetriesConfig) withDefaults() RetriesConfig {
	c.Transient = c.Transient.or(RetryConfig{Base: environments.Duration(time.Second), Factor: 2, Cap: environments.Duration(time.Minute)})
	c.Stalled = c.Stalled.or(RetryConfig{Base: environments.Duration(30 * time.Second), Factor: 2, Cap: environments.Duration(10 * time.Minute)})
	return c
}

// or fills in what was left out.
func (c RetryConfig) or(standard RetryConfig) RetryConfig {
	fill(&c.Base, standard.Base)
	fill(&c.Factor, standard.Factor)
	fill(&c.Cap, standard.Cap)
	fill(&c.Limit, standard.Limit)
	return c
}

// of is how what failed for a reason is tried again; c has its defaults.
func (c RetriesConfig) of(r reason) RetryConfig {
	standard := c.Transient
	if r.fate == stalled {
		standard = c.Stalled
	}
	if r.name == reasonPrerequisite && standard.Limit == nil {
		standard.Limit = new(prerequisiteTries)
	}
	return c.Reasons[r.name].or(standard)
}

func (c RetriesConfig) check(doc *environments.Document) {
	whole := c.withDefaults()
	c.Transient.check(doc, "retries.transient", whole.Transient, retry)
	c.Stalled.check(doc, "retries.stalled", whole.Stalled, stalled)
	fates := map[string]reason{}
	for _, r := range reasons {
		if !slices.Contains(notTried, r.name) {
			fates[r.name] = r
		}
	}
	for name, given := range c.Reasons {
		at := "retries.reasons." + name
		r, ok := fates[name]
		if !ok {
			doc.Report(at, "is no reason why a try fails; write one of %s", strings.Join(slices.Sorted(maps.Keys(fates)), ", "))
			continue
		}
		given.check(doc, at, whole.of(r), r.fate)
	}
}

// check looks at what was given, and at whole, which it makes with the defaults.
func (c RetryConfig) check(doc *environments.Document, at string, whole RetryConfig, f fate) {
	if c.Base != 0 && (time.Duration(c.Base) < minRetryBase || time.Duration(c.Base) > maxRetryBase) {
		doc.Report(at+".base", "%s is out of bounds; write %s to %s", c.Base, environments.Duration(minRetryBase), environments.Duration(maxRetryBase))
		return
	}
	if time.Duration(c.Cap) > maxRetryCap {
		doc.Report(at+".cap", "%s is out of bounds; write up to %s", c.Cap, environments.Duration(maxRetryCap))
	}
	if whole.Cap < whole.Base && (c.Base != 0 || c.Cap != 0) { // else it is told of what was inherited
		field, text := "cap", "the waits would grow from %s to %s; write a cap that is not less than base"
		if c.Cap == 0 {
			field = "base"
			text += ", beside it"
		}
		doc.Report(fmt.Sprintf("%s.%s", at, field), text, whole.Base, whole.Cap)
	}
	if c.Limit != nil && f == stalled {
		doc.Report(at+".limit", "is of no use: what needs a person is stalled from its first failure on; take it out")
	}
}
