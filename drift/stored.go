package drift

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
)

// An inventory is stored whole as long as it fits, and else as a head that
// names parts. Which part an object is in follows from its name, so that a
// change of few objects changes few parts. The head has the digest of each:
// what is missing, edited, or another target's, is not this inventory.

// Part is where a share of a large inventory is stored.
type Part struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"` // of its content
}

// Packed is an inventory as it is to be stored: Whole, or, where that is nil,
// what EncodeHead and Parts give.
type Packed struct {
	Whole []byte
	Parts [][]byte
}

const (
	// inventoryFormat changes when older agents could misread what is written.
	// handedFormat has parts, or objects that are handed over, and newFormat Jobs
	// that have finished: an older agent would run them again. Whatever has none of
	// these is written as they know it.
	inventoryFormat = 3
	handedFormat    = 4
	newFormat       = 5
	// oldestFormat is the first one that is still read: it had the release alone,
	// without the commit that it came with. The second did not know what is leaving.
	oldestFormat = 1

	// maxInventoryText bounds what a stored inventory, or a part of one, may
	// unpack to, and maxParts how many parts there may be.
	maxInventoryText = 64 << 20
	maxParts         = 1024
)

type storedInventory struct {
	Format  int            `json:"format"`
	Target  string         `json:"target"`
	Release string         `json:"release,omitempty"`
	Commit  gitsync.Commit `json:"commit,omitempty"`
	Demands string         `json:"demands,omitempty"`
	At      time.Time      `json:"at,omitzero"`
	Held    bool           `json:"held,omitempty"`
	Objects []storedEntry  `json:"objects"`
	Parts   []Part         `json:"parts,omitempty"`
}

type storedPart struct {
	Format  int           `json:"format"`
	Target  string        `json:"target"`
	IsPart  bool          `json:"isPart"`
	Objects []storedEntry `json:"objects"`
}

type storedEntry struct {
	Group     string   `json:"group,omitempty"`
	Version   string   `json:"version"`
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	UID       string   `json:"uid,omitempty"`
	Desired   Digest   `json:"desired,omitempty"`
	Applied   Digest   `json:"applied,omitempty"`
	Adopted   bool     `json:"adopted,omitempty"`
	Leaving   Leaving  `json:"leaving,omitempty"`
	Finished  Finished `json:"finished,omitempty"`
}

// Pack writes the inventory so that nothing of it is larger than limit: whole
// or, if it must be, in parts. before is how many parts it is in now, 0 if it
// is whole; there are fewer only once they would be half full, so that the
// number does not go back and forth.
func (inv Inventory) Pack(before, limit int) (Packed, error) {
	n := max(before, 1)
	packed, sizes, err := inv.pack(n)
	for err == nil && n > 1 && mayHalve(sizes, limit/2) {
		n /= 2
		packed, sizes, err = inv.pack(n)
	}
	for err == nil && slices.Max(sizes) > limit {
		for largest := slices.Max(sizes); largest > limit; largest /= 2 {
			n *= 2
		}
		if n > maxParts {
			return Packed{}, fmt.Errorf("the inventory of %s, of %d objects, needs more than %d parts of %d KiB; split the application", inv.Target, len(inv.Entries), maxParts, limit>>10)
		}
		packed, sizes, err = inv.pack(n)
	}
	return packed, err
}

// mayHalve reports whether half as many parts would be within the limit.
func mayHalve(sizes []int, limit int) bool {
	half := len(sizes) / 2
	for i := range half {
		if sizes[i]+sizes[i+half] > limit {
			return false
		}
	}
	return true
}

// pack writes the inventory in n parts, a power of two, or whole if that is 1.
func (inv Inventory) pack(n int) (Packed, []int, error) {
	if n == 1 {
		whole, err := inv.Encode()
		return Packed{Whole: whole}, []int{len(whole)}, err
	}
	shares := make([]storedPart, n)
	for _, id := range inv.IDs() {
		share := &shares[partOf(id, n)]
		e := inv.Entries[id]
		share.Objects = append(share.Objects, storedEntryOf(id, e))
		share.Format = max(share.Format, e.format())
	}
	packed, sizes := Packed{Parts: make([][]byte, n)}, make([]int, n)
	for i, share := range shares {
		share.Format, share.Target, share.IsPart = max(share.Format, handedFormat), inv.Target, true
		content, err := encode(share)
		if err != nil {
			return Packed{}, nil, fmt.Errorf("writing the inventory of %s: %w", inv.Target, err)
		}
		packed.Parts[i], sizes[i] = content, len(content)
	}
	return packed, sizes, nil
}

// partOf says which of n parts an object is in.
func partOf(id ObjectID, n int) int {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", id.Group, id.Kind, id.Namespace, id.Name))
	return int(binary.BigEndian.Uint64(sum[:]) % uint64(n))
}

// Encode writes the inventory whole, as gzipped JSON. Equal inventories give
// equal bytes.
func (inv Inventory) Encode() ([]byte, error) {
	stored := inv.stored(inventoryFormat)
	for _, id := range inv.IDs() {
		e := inv.Entries[id]
		stored.Objects = append(stored.Objects, storedEntryOf(id, e))
		stored.Format = max(stored.Format, e.format())
	}
	content, err := encode(stored)
	if err != nil {
		return nil, fmt.Errorf("writing the inventory of %s: %w", inv.Target, err)
	}
	return content, nil
}

// EncodeHead writes all but the entries, and which parts these are in.
func (inv Inventory) EncodeHead(parts []Part) ([]byte, error) {
	stored := inv.stored(handedFormat)
	stored.Parts = parts
	content, err := encode(stored)
	if err != nil {
		return nil, fmt.Errorf("writing the inventory of %s: %w", inv.Target, err)
	}
	return content, nil
}

func (inv Inventory) stored(format int) storedInventory {
	a := inv.Accepted
	return storedInventory{
		Format: format, Target: inv.Target, Objects: []storedEntry{},
		Release: a.Release, Commit: a.Commit, Demands: a.Demands, At: a.At, Held: a.Held,
	}
}

func storedEntryOf(id ObjectID, e Entry) storedEntry {
	return storedEntry{id.Group, e.Version, id.Kind, id.Namespace, id.Name, e.UID, e.Desired, e.Applied, e.Adopted, e.Leaving, e.Finished}
}

// format is the oldest one that has what an entry says.
func (e Entry) format() int {
	switch {
	case e.Finished != "":
		return newFormat
	case e.Leaving == LeavingHanded:
		return handedFormat
	}
	return inventoryFormat
}

// packers are used again: each takes most of a megabyte, and a commit may change
// a thousand targets.
var packers = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// encode writes gzipped JSON.
func encode(stored any) ([]byte, error) {
	packed := packers.Get().(*gzip.Writer)
	defer func() {
		packed.Reset(io.Discard) // nothing of it stays
		packers.Put(packed)
	}()
	var out bytes.Buffer
	packed.Reset(&out)
	if err := json.NewEncoder(packed).Encode(stored); err != nil {
		return nil, err
	}
	if err := packed.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// ErrInventoryFormat says that a newer agent wrote an inventory. It must not be
// replaced by an older one.
var ErrInventoryFormat = errors.New("the inventory is in a format that this version does not know; run the version that wrote it, or a newer one")

// DecodeInventory reads what is stored, and refuses anything else. lookup finds
// the content of a part by its name, nil if there is none; the parts that the
// inventory is in are returned, none if it is whole. An inventory is never read
// in part: its entries without those of one part are those of nobody.
func DecodeInventory(content []byte, lookup func(name string) []byte) (Inventory, []Part, error) {
	var stored storedInventory
	if err := decode(content, newFormat, &stored); err != nil {
		return Inventory{}, nil, fmt.Errorf("reading an inventory: %w", err)
	}
	inv := Inventory{
		Target: stored.Target, Entries: make(map[ObjectID]Entry, len(stored.Objects)),
		Accepted: Accepted{Commit: stored.Commit, Release: stored.Release, Demands: stored.Demands, At: stored.At, Held: stored.Held},
	}
	fail := func(format string, values ...any) (Inventory, []Part, error) {
		return Inventory{}, nil, fmt.Errorf("reading an inventory: "+format, values...)
	}
	if len(stored.Parts) > 0 && (stored.Format < handedFormat || len(stored.Objects) > 0) {
		return fail("its parts and its format do not go together")
	}
	if err := inv.add(stored.Objects); err != nil {
		return fail("%w", err)
	}
	for _, p := range stored.Parts {
		content := lookup(p.Name)
		if content == nil {
			return fail("its part %s is missing", p.Name)
		}
		if digestOf(content) != p.Digest {
			return fail("its part %s is not the one that was written", p.Name)
		}
		var part storedPart
		if err := decode(content, newFormat, &part); err != nil {
			return fail("its part %s: %w", p.Name, err)
		}
		if part.Target != inv.Target {
			return fail("its part %s is one of %q", p.Name, part.Target)
		}
		if err := inv.add(part.Objects); err != nil {
			return fail("its part %s: %w", p.Name, err)
		}
	}
	return inv, stored.Parts, nil
}

// decode unpacks text of a format between oldestFormat and newest, strictly.
func decode(content []byte, newest int, into any) error {
	packed, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(packed, maxInventoryText+1))
	if err != nil {
		return err
	}
	if len(text) > maxInventoryText {
		return fmt.Errorf("it unpacks to more than %d MiB", maxInventoryText>>20)
	}
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &format); err != nil {
		return err
	}
	if format.Format < oldestFormat || format.Format > newest {
		return fmt.Errorf("%w (format %d, known is %d)", ErrInventoryFormat, format.Format, newest)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	return strict.Decode(into)
}

// add takes in stored entries, each once.
func (inv Inventory) add(objects []storedEntry) error {
	for _, o := range objects {
		id := ObjectID{Group: o.Group, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
		if o.Kind == "" || o.Name == "" || o.Version == "" {
			return errors.New("an object without kind, version or name")
		}
		if _, twice := inv.Entries[id]; twice {
			return fmt.Errorf("%s is in it twice", id)
		}
		switch o.Leaving {
		case "", LeavingUnasked, LeavingConfirmed, LeavingHanded:
		default:
			return fmt.Errorf("%s is leaving in an unknown way", id)
		}
		switch o.Finished {
		case "", FinishedComplete, FinishedFailed:
		default:
			return fmt.Errorf("%s has finished in an unknown way", id)
		}
		inv.Entries[id] = Entry{o.Version, o.UID, o.Desired, o.Applied, o.Adopted, o.Finished, o.Leaving}
	}
	return nil
}
