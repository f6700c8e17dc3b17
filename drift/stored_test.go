package drift

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stock is an inventory as a cluster would store it: under names of its own.
type stock struct {
	head  []byte
	parts map[string][]byte
	named []Part
}

func store(t testing.TB, inv Inventory, before, limit int) stock {
	t.Helper()
	packed, err := inv.Pack(before, limit)
	if err != nil {
		t.Fatal(err)
	}
	s := stock{head: packed.Whole, parts: map[string][]byte{}}
	if packed.Whole != nil {
		return s
	}
	for i, content := range packed.Parts {
		if len(content) > limit {
			t.Errorf("part %d has %d bytes, the limit is %d", i, len(content), limit)
		}
		p := Part{Name: fmt.Sprintf("p%d", i), Digest: digestOf(content)}
		s.named, s.parts[p.Name] = append(s.named, p), content
	}
	if s.head, err = inv.EncodeHead(s.named); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s stock) read() (Inventory, []Part, error) {
	return DecodeInventory(s.head, func(name string) []byte { return s.parts[name] })
}

// large is an inventory of n objects whose entries hardly shrink.
func large(n int) Inventory {
	inv := inventoryOf(entry)
	inv.Accepted = Accepted{Commit: "77be1c2", Release: "sha256:abc", Demands: "sha256:def", Held: true}
	for i := range n {
		id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: fmt.Sprint("c", i)}
		inv.Entries[id] = Entry{
			Version: "v1", UID: string(DigestOf(fmt.Sprint("uid", i))), Desired: DigestOf(fmt.Sprint("desired", i)), Applied: DigestOf(fmt.Sprint("applied", i)),
			Adopted: i%7 == 0, Leaving: []Leaving{"", LeavingUnasked, LeavingConfirmed}[i%3],
		}
	}
	return inv
}

// catalogue 92
func TestALargeInventoryIsSplitAndReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ objects, before, limit, parts int }{
		{0, 0, 8 << 10, 0},
		{100, 0, 16 << 10, 0},      // fits
		{1_000, 0, 16 << 10, 8},    // as few as it takes
		{1_000, 16, 16 << 10, 16},  // there are more already, and they are not half empty
		{1_000, 256, 16 << 10, 16}, // they are
		{150, 8, 16 << 10, 2},      // half a part is not enough to be whole again
		{20, 8, 16 << 10, 0},       // this is
		{200, 3, 16 << 10, 3},      // a number that was never written
		{10_000, 0, 256 << 10, 4},  // as in earnest
		{1, 0, 10, -1},             // one object is too large
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			inv := large(c.objects)
			if c.parts < 0 {
				if _, err := inv.Pack(c.before, c.limit); err == nil || !strings.Contains(err.Error(), "split the application") {
					t.Errorf("got %v", err)
				}
				return
			}
			s := store(t, inv, c.before, c.limit)
			if len(s.named) != c.parts {
				t.Errorf("%d parts, want %d", len(s.named), c.parts)
			}
			read, in, err := s.read()
			if err != nil || !inv.Equal(read) || !slices.Equal(in, s.named) {
				t.Errorf("read were %d entries in %v, %v", len(read.Entries), in, err)
			}
		})
	}
}

// catalogue 92
func TestAChangeOfFewObjectsRewritesFewParts(t *testing.T) {
	t.Parallel()
	inv := large(10_000)
	before := store(t, inv, 0, 32<<10)
	id := ObjectID{Kind: "ConfigMap", Namespace: "shop", Name: "c77"}
	changed := inv.Entries[id]
	changed.UID = "another"
	for name, change := range map[string]func(Inventory){
		"changed":  func(inv Inventory) { inv.Entries[id] = changed },
		"new":      func(inv Inventory) { inv.Entries[ObjectID{Kind: "Secret", Name: "s"}] = entry },
		"gone":     func(inv Inventory) { delete(inv.Entries, id) },
		"accepted": func(inv Inventory) {},
	} {
		next := inv.Clone()
		next.Accepted.Commit = "8d2e1a7"
		change(next)
		after := store(t, next, len(before.named), 32<<10)
		written := 0
		for i, p := range after.named {
			if p != before.named[i] {
				written++
			}
		}
		want := 1
		if name == "accepted" {
			want = 0
		}
		if written != want || len(after.named) != len(before.named) {
			t.Errorf("one object %s: %d of %d parts are other ones, before there were %d", name, written, len(after.named), len(before.named))
		}
	}
}

// catalogue 91, 92
func TestAnInventoryThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	other := large(400)
	other.Target = "production/api"
	theirs := store(t, other, 0, 8<<10)
	for name, c := range map[string]struct {
		spoil   func(*stock)
		message string
	}{
		"nothing is wrong":      {func(*stock) {}, ""},
		"a part is missing":     {func(s *stock) { delete(s.parts, "p1") }, "its part p1 is missing"},
		"all parts are missing": {func(s *stock) { clear(s.parts) }, "its part p0 is missing"},
		"a part is empty":       {func(s *stock) { s.parts["p1"] = []byte{} }, "its part p1 is not the one that was written"},
		"a part is cut short":   {func(s *stock) { s.parts["p1"] = s.parts["p1"][:50] }, "its part p1 is not the one that was written"},
		"a part is edited":      {func(s *stock) { s.parts["p1"] = packed(t, `{"format":4,"target":"production/web","objects":[]}`) }, "its part p1 is not the one that was written"},
		"parts changed places":  {func(s *stock) { s.parts["p1"], s.parts["p2"] = s.parts["p2"], s.parts["p1"] }, "its part p1 is not the one that was written"},
		"a part of another one": {func(s *stock) { s.parts["p1"] = theirs.parts["p1"] }, "its part p1 is not the one that was written"},
		"all parts of another":  {func(s *stock) { s.parts = theirs.parts; s.head = headOf(t, large(0), theirs.named...) }, `its part p0 is one of "production/api"`},
		"a part is named twice": {func(s *stock) { s.head = headOf(t, large(0), append(s.named, s.named[0])...) }, "is in it twice"},
		"the head is a part":    {func(s *stock) { s.head = s.parts["p1"] }, "isPart"},
		"entries and parts": {func(s *stock) {
			s.head = packed(t, `{"format":4,"target":"p","objects":[{"kind":"C","version":"v1","name":"c"}],"parts":[{"name":"p0","digest":"d"}]}`)
		}, "do not go together"},
		"parts in an old format": {func(s *stock) {
			s.head = packed(t, `{"format":3,"target":"p","objects":[],"parts":[{"name":"p0","digest":"d"}]}`)
		}, "do not go together"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store(t, large(400), 0, 8<<10)
			s.parts = maps.Clone(s.parts)
			c.spoil(&s)
			inv, _, err := s.read()
			switch {
			case c.message == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil || !strings.Contains(err.Error(), c.message):
				t.Errorf("got %v; want an error with %q", err, c.message)
			case len(inv.Entries) > 0:
				t.Errorf("it is refused, and yet %d entries are read", len(inv.Entries))
			}
		})
	}
}

// What is whole is as agents know it that cannot read parts; those know of a
// head that they must leave it alone.
//
// catalogue 117
func TestAgentsThatCannotReadPartsRefuseThem(t *testing.T) {
	t.Parallel()
	const knownBefore = 3
	whole, split := store(t, large(10), 0, 8<<10), store(t, large(400), 0, 8<<10)
	if err := decode(whole.head, knownBefore, &storedInventory{}); err != nil {
		t.Errorf("what is whole cannot be read by an older agent: %v", err)
	}
	if err := decode(split.head, knownBefore, &storedInventory{}); !errors.Is(err, ErrInventoryFormat) {
		t.Errorf("got %v; want the format to be refused", err)
	}
}

func headOf(t testing.TB, inv Inventory, parts ...Part) []byte {
	t.Helper()
	head, err := inv.EncodeHead(parts)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// Whatever becomes of head and parts, what is read is the inventory that was
// written, or nothing.
func FuzzDecodeParts(f *testing.F) {
	s := store(f, large(60), 0, 2<<10)
	f.Add(s.head, s.parts["p0"], s.parts["p1"])
	f.Add(s.head, s.parts["p1"], s.parts["p0"])
	f.Add(s.head, s.parts["p0"], []byte(nil))
	f.Add(s.parts["p0"], s.parts["p0"], s.parts["p1"])
	whole, err := large(60).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head, p0, p1 []byte) {
		parts := maps.Clone(s.parts)
		parts["p0"], parts["p1"] = p0, p1
		inv, in, err := DecodeInventory(head, func(name string) []byte { return parts[name] })
		if err != nil {
			return
		}
		if len(in) > 0 && bytes.Equal(head, s.head) {
			if again, err := inv.Encode(); err != nil || !bytes.Equal(again, whole) {
				t.Fatalf("read was another inventory, %v", err)
			}
		}
		packed, err := inv.Pack(len(in), rand.IntN(4<<10)+512)
		if err != nil {
			return
		}
		if packed.Whole != nil {
			if again, _, err := DecodeInventory(packed.Whole, nil); err != nil || !inv.Equal(again) {
				t.Fatalf("%s, %v", cmp.Diff(inv, again), err)
			}
		}
	})
}

func BenchmarkPackTenThousand(b *testing.B) {
	inv := large(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inv.Pack(4, 256<<10); err != nil {
			b.Fatal(err)
		}
	}
}
