package cosign

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

// remembered is evidence that satisfied its trust, for as long as it may be
// taken for it.
type remembered struct {
	evidence policies.Evidence
	// until is when the first root of a signer in it is out of date.
	until time.Time
	// complete is when it was last known that there is no other evidence.
	complete time.Time
	// checked is when it was last seen to satisfy its trust: what a digest and
	// its signatures are never changes, but a scan may be asked to be recent.
	checked time.Time
}

// memory holds evidence, that of the last images that were asked for, up to a
// number and a size.
type memory struct {
	mu     sync.Mutex
	items  map[string]*list.Element // of *item
	recent list.List                // the latest first
	size   int64

	most    int
	largest int64
}

type item struct {
	key  string
	size int64
	remembered
}

func newMemory(most int, largest int64) *memory {
	return &memory{items: map[string]*list.Element{}, most: most, largest: largest}
}

// get returns what nobody may change: clone it.
func (m *memory) get(key string) (remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.items[key]
	if !ok {
		return remembered{}, false
	}
	m.recent.MoveToFront(e)
	return e.Value.(*item).remembered, true
}

// put remembers, and forgets what was not asked for the longest to make room.
func (m *memory) put(key string, r remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
	r.evidence = clone(r.evidence)
	added := &item{key: key, size: int64(len(key)) + sizeOf(r.evidence), remembered: r}
	if added.size > m.largest {
		return
	}
	m.items[key] = m.recent.PushFront(added)
	m.size += added.size
	for m.size > m.largest || len(m.items) > m.most {
		m.remove(m.recent.Back().Value.(*item).key)
	}
}

// checked notes that what is remembered still satisfies.
func (m *memory) checked(key string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.items[key]; ok {
		e.Value.(*item).remembered.checked = at
	}
}

func (m *memory) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
}

func (m *memory) remove(key string) {
	if e, ok := m.items[key]; ok {
		m.size -= e.Value.(*item).size
		m.recent.Remove(e)
		delete(m.items, key)
	}
}

// sizeOf is about what evidence takes in memory.
func sizeOf(e policies.Evidence) int64 {
	const each = 256 // headers, and the pointers to it
	n := each + len(e.Image) + len(e.Problem)
	by := func(b policies.SignedBy) int {
		return each + len(b.Signer) + len(b.ID) + len(b.Issuer) + len(b.Subject)
	}
	for _, s := range e.Signatures {
		n += by(s.By)
	}
	for _, a := range e.Attestations {
		n += by(a.By) + len(a.Type) + len(a.Predicate)
	}
	for _, r := range e.Rejected {
		n += len(r)
	}
	return int64(n)
}

// clone keeps what is remembered apart from what callers hold, but for the
// content of predicates, which is large and which nobody may change.
func clone(e policies.Evidence) policies.Evidence {
	e.Signatures = slices.Clone(e.Signatures)
	e.Attestations = slices.Clone(e.Attestations)
	e.Rejected = slices.Clone(e.Rejected)
	return e
}
