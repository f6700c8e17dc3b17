package drift

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func packed(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestInventoryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	inv := inventoryOf(entry, web, conf, shop)
	inv.Accepted = Accepted{Commit: "77be1c2", Release: "sha256:abc", Demands: "sha256:def", At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	inv.Entries[widgets] = Entry{Version: "v1"}
	inv.Entries[claim] = Entry{Version: "v1", UID: "uid", Adopted: true, Leaving: LeavingConfirmed}
	inv.Accepted.Held = true
	first, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, _ := inv.Encode()
	if !bytes.Equal(first, second) {
		t.Error("the same inventory was written in two ways")
	}
	read, _, err := DecodeInventory(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(inv, read); diff != "" || !inv.Equal(read) {
		t.Error(diff)
	}
}

// catalogue 117
func TestAnInventoryOfTheFirstFormatIsRead(t *testing.T) {
	t.Parallel()
	inv, _, err := DecodeInventory(packed(t, `{"format":1,"target":"p","release":"sha256:abc","objects":[{"kind":"ConfigMap","version":"v1","namespace":"shop","name":"conf","uid":"u"}]}`), nil)
	if err != nil || inv.Entries[conf] != (Entry{Version: "v1", UID: "u"}) || inv.Accepted != (Accepted{Release: "sha256:abc"}) {
		t.Errorf("got %+v, %v", inv, err)
	}
}

// catalogue 91
func TestAnInventoryThatIsWrongIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content []byte
		message string
	}{
		"empty":              {nil, "EOF"},
		"no gzip":            {[]byte(`{"format":1}`), "gzip"},
		"cut short":          {packed(t, `{"format":1,"target":"p","objects":[]}`)[:20], "reading an inventory"},
		"no JSON":            {packed(t, `format: 1`), "invalid character"},
		"a newer format":     {packed(t, `{"format":6,"shards":3}`), "format that this version does not know"},
		"an unknown field":   {packed(t, `{"format":1,"objects":[{"kind":"ConfigMap","version":"v1","name":"c","force":true}]}`), "force"},
		"an object unnamed":  {packed(t, `{"format":1,"objects":[{"kind":"ConfigMap","version":"v1"}]}`), "without kind, version or name"},
		"an object repeated": {packed(t, `{"format":1,"objects":[{"kind":"C","version":"v1","name":"c"},{"kind":"C","version":"v1","name":"c"}]}`), "twice"},
		"a bomb":             {packed(t, `{"format":1,"target":"`+strings.Repeat("a", maxInventoryText)+`"}`), "unpacks to more than 64 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := DecodeInventory(c.content, nil)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v; want an error with %q", err, c.message)
			}
			if newer := name == "a newer format"; errors.Is(err, ErrInventoryFormat) != newer {
				t.Errorf("errors.Is(%v, ErrInventoryFormat) is not %v", err, newer)
			}
		})
	}
}

func TestIntendKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	inv := inventoryOf(entry, web, claim)
	next, grown := inv.Intend(wantedOf("newer", web, conf), nil)
	if !grown {
		t.Error("a new object must be written down before it is created")
	}
	want := inventoryOf(entry, web, claim)
	want.Entries[conf] = Entry{Version: "v1"}
	if diff := cmp.Diff(want, next); diff != "" {
		t.Error(diff)
	}
	if len(inv.Entries) != 2 {
		t.Error("the inventory itself was changed")
	}
	if _, grown := inv.Intend(wantedOf("newer", web), nil); grown {
		t.Error("nothing new, nothing to write down")
	}
	// What is adopted must be known even if the write is the last thing we do.
	next, grown = inv.Intend(wantedOf("newer", web, conf), map[ObjectID]bool{web: true, conf: true})
	if adopted := (Entry{Version: "v1", Adopted: true}); !grown || next.Entries[web] != adopted || next.Entries[conf] != adopted {
		t.Errorf("got %+v, %v", next.Entries, grown)
	}
}

// catalogue 90, 107
func TestWhatWasRemadeIsKnownAgain(t *testing.T) {
	t.Parallel()
	remade := with(asLeft, func(l *Live) { l.UID, l.Made = "new", true })
	for name, c := range map[string]struct {
		entry Entry
		live  Live
		want  Entry
	}{
		"made by us, which was not noted":             {entry, remade, with(entry, func(e *Entry) { e.UID = "new" })},
		"the same in place of what was there before":  {with(entry, func(e *Entry) { e.Adopted = true }), remade, with(entry, func(e *Entry) { e.UID = "new" })},
		"on its way out before a crash":               {with(entry, func(e *Entry) { e.Leaving = LeavingUnasked }), remade, with(entry, func(e *Entry) { e.UID, e.Leaving = "new", LeavingUnasked })},
		"marked, and not proven: from a backup, say":  {entry, with(remade, func(l *Live) { l.Made = false }), entry},
		"made by another target's apply":              {entry, with(remade, func(l *Live) { l.Mark = theirs }), entry},
		"without a mark":                              {entry, with(remade, func(l *Live) { l.Mark = Mark{} }), entry},
		"the one that is remembered":                  {entry, with(asLeft, func(l *Live) { l.Made = true }), entry},
		"the one that is remembered, and was adopted": {with(entry, func(e *Entry) { e.Adopted = true }), with(asLeft, func(l *Live) { l.Made = true }), with(entry, func(e *Entry) { e.Adopted = true })},
		"intended, and its uid never known":           {Entry{Version: "v1", Adopted: true}, remade, Entry{Version: "v1", Adopted: true}},
		"gone":                                        {entry, Live{State: Absent}, entry},
		"could not be read":                           {entry, with(remade, func(l *Live) { l.State = Unknown }), entry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inv := inventoryOf(c.entry, web)
			got := inv.Recognise(map[ObjectID]Live{web: c.live}, ours)
			if diff := cmp.Diff(c.want, got.Entries[web]); diff != "" {
				t.Error(diff)
			}
			if inv.Entries[web] != c.entry {
				t.Error("the inventory itself was changed")
			}
		})
	}
}

// catalogue 90
func TestAnObjectThatIsServedByTwoGroupsIsNotPrunedUnderTheOther(t *testing.T) {
	t.Parallel()
	before := ObjectID{Kind: "Event", Namespace: "shop", Name: "made"}
	after := ObjectID{Group: "events.k8s.io", Kind: "Event", Namespace: "shop", Name: "made"}
	moved := Entry{Version: "v1", UID: "uid"}
	for name, c := range map[string]struct {
		entries     map[ObjectID]Entry
		left, found Live
		want        map[ObjectID]Entry
	}{
		"moved":                     {map[ObjectID]Entry{before: entry}, asLeft, asLeft, map[ObjectID]Entry{after: moved}},
		"moved, and was adopted":    {map[ObjectID]Entry{before: with(entry, func(e *Entry) { e.Adopted = true })}, asLeft, asLeft, map[ObjectID]Entry{after: with(moved, func(e *Entry) { e.Adopted = true })}},
		"moved before a crash":      {map[ObjectID]Entry{before: entry, after: entry}, asLeft, asLeft, map[ObjectID]Entry{after: entry}},
		"moved while it was to go":  {map[ObjectID]Entry{before: with(entry, func(e *Entry) { e.Leaving = LeavingUnasked })}, asLeft, asLeft, map[ObjectID]Entry{after: moved}},
		"two objects":               {map[ObjectID]Entry{before: entry}, asLeft, with(asLeft, func(l *Live) { l.UID = "other" }), map[ObjectID]Entry{before: entry}},
		"the other one is made yet": {map[ObjectID]Entry{before: entry}, asLeft, Live{State: Absent}, map[ObjectID]Entry{before: entry}},
		"gone":                      {map[ObjectID]Entry{before: entry}, Live{State: Absent}, Live{State: Absent}, map[ObjectID]Entry{before: entry}},
		"not ours any more":         {map[ObjectID]Entry{before: entry}, with(asLeft, func(l *Live) { l.Mark = theirs }), with(asLeft, func(l *Live) { l.Mark = theirs }), map[ObjectID]Entry{before: entry}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inv := Inventory{Entries: c.entries}
			got := inv.Rename(wantedOf("wanted", after), map[ObjectID]Live{before: c.left, after: c.found}, ours)
			if diff := cmp.Diff(c.want, got.Entries); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What may be written over, of what is found where something else was decided on.
//
// catalogue 90
func TestWhatMayBeWrittenOver(t *testing.T) {
	t.Parallel()
	unmarked := with(asLeft, func(l *Live) { l.Mark = Mark{} })
	other := func(l Live) Live { l.UID = "other"; return l }
	handed := with(asLeft, func(l *Live) { l.Mark = theirs })
	for name, c := range map[string]struct {
		decided, found Live
		may            bool
	}{
		"ours, still": {asLeft, asLeft, true},
		"ours, made by a request that had no answer":  {Live{State: Absent}, other(asLeft), true},
		"ours, remade by a repair":                    {asLeft, other(asLeft), true},
		"ours, and the mark was taken off":            {asLeft, unmarked, true},
		"ours, and another target took it":            {asLeft, handed, false},
		"to be taken over, and still there":           {unmarked, unmarked, true},
		"to be taken over, and replaced":              {unmarked, other(unmarked), false},
		"to be taken over, and another target has it": {unmarked, handed, false},
		"handed over, and still theirs":               {handed, handed, true},
		"handed over, and replaced by theirs":         {handed, other(handed), false},
		"not there, and made by somebody":             {Live{State: Absent}, unmarked, false},
		"not there, and made by another target":       {Live{State: Absent}, handed, false},
	} {
		if got := c.found.MayReplace(c.decided, ours); got != c.may {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzDecodeInventory(f *testing.F) {
	content, err := inventoryOf(entry, web, conf).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(packed(f, `{"format":1,"target":"p","objects":[{"kind":"C","version":"v1","name":"c"}]}`))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, content []byte) {
		inv, _, err := DecodeInventory(content, nil)
		if err != nil {
			return
		}
		written, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := DecodeInventory(written, nil)
		if err != nil || !inv.Equal(again) {
			t.Fatalf("%+v became %+v, %v", inv, again, err)
		}
	})
}
