package cosign

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/policies"
)

// catalogue 42: what is remembered is bounded in number and in bytes.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	large := func(n int) remembered {
		return remembered{evidence: policies.Evidence{Attestations: []policies.Attestation{{Predicate: bytes.Repeat([]byte("x"), n)}}}}
	}
	held := func(m *memory) (n int, size int64) {
		for e := m.recent.Front(); e != nil; e = e.Next() {
			n++
			i := e.Value.(*item)
			size += int64(len(i.key)) + sizeOf(i.evidence)
			if m.items[i.key] != e {
				t.Errorf("%s is not found", i.key)
			}
		}
		if n != len(m.items) || size != m.size {
			t.Errorf("%d items of %d bytes, counted as %d of %d", n, size, len(m.items), m.size)
		}
		return n, size
	}
	t.Run("by bytes", func(t *testing.T) {
		m := newMemory(1000, 1<<20)
		for i := range 100 {
			m.put(fmt.Sprint(i), large(100_000))
			m.get("0") // asked for all the time
		}
		if n, size := held(m); n != 10 || size > 1<<20 {
			t.Errorf("%d are held, %d bytes", n, size)
		}
		for key, want := range map[string]bool{"0": true, "99": true, "98": true, "50": false} {
			if _, ok := m.get(key); ok != want {
				t.Errorf("%s: held %t", key, ok)
			}
		}
		m.put("99", large(2<<20)) // too large for it
		if _, ok := m.get("99"); ok {
			t.Error("what is larger than all there is room for is held, or its past is")
		}
		held(m)
	})
	t.Run("by number", func(t *testing.T) {
		m := newMemory(10, 1<<30)
		for i := range 100 {
			m.put(fmt.Sprint(i%50), large(1))
		}
		if n, _ := held(m); n != 10 {
			t.Errorf("%d are held", n)
		}
	})
	t.Run("and forgets", func(t *testing.T) {
		m := newMemory(10, 1<<30)
		m.put("a", large(1))
		m.checked("a", time.Unix(1, 0))
		m.checked("b", time.Unix(1, 0))
		if r, ok := m.get("a"); !ok || !r.checked.Equal(time.Unix(1, 0)) {
			t.Errorf("got %+v", r)
		}
		m.forget("a")
		m.forget("b")
		if n, size := held(m); n+int(size) != 0 {
			t.Errorf("%d are held, %d bytes", n, size)
		}
	})
}
