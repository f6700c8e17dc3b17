package gogit

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// realPack is two commits as git packs them, a delta among them.
const realPack = "UEFDSwAAAAIAAAALlQx4nI3LTQoCMQxA4X1P0b0gmSb9AxGvkklTFZx2qBU8vnME3+LbvTlULRd0JdclSCou40prVmEXcqyaAqJgzAqlmJ2HtmkFkwDVGJJfslYCLx6QFFKkSkjkWZGCGv7MRx+WW7OXg5t+edtfeu7jfrVLDNE5HwDsCY6M9G17zql/D+at0lsxP1KxOUWUCXicjcvBCsIwDIDhe5+id0Gyui4KIr5KkiY6sKt0EXz87RH2H77b7101ktzyxdQE+GpGMqCxFkuZBUfgkkZGFiqBfv5uPdKyxPvOU/9Uvx89t/56xAEnTClPAPEEe0FarbO7Hh6CzX31sAHKcC1krAN4nDMxAAKFxIKCYgYFjeA76vO7Ji41EtD5c6IsZHrjf1lDAwMzExOFJIaI6mdbDv+0n3yk84Cg9K7QaSJVaqcBm5MX/64BeJwzMQAChfLUJIaf849ENpvv8El63PH79b5b+6PSrvYAAL2RDvGiAnicMzQwMDMxUUjUq0zMzWEIMxOd9nFb1OTvlqzabwzvr+JsmNkJAMBiDQ64K3icHdLJEcAwDMPAP6ox5bv/xgLnz8mxUCg6g8lic7ikkZAinQwyySKbHHKpRoUqqlODmtSiNnWoS2/00H1kpw/6pC/6ph/6ZTRGGMXwjYMxGYuxGYdxmY0ZZjE70w+azMXczMO8rMYKq1idNVh+72Jt1mFddmOHXezOHuzJ9nc2+7Avp3HCKU7nDM7kLI5/eziX27jhFrdzB3dyF3dzxXgacjQ9miBNkSZJ06SJ0lRpsjR3P5u7B/fkHt2ze3hP7/HpFwFTz9edhhExKkbG6Bgho2SkjJbpL4Q7OaNnBI2ikTSaRtSoGlkzXjF3ykbaaBtxo27kjb4ROApnvrTuRI7KkTk6R+goHamjdcTOejfgTu8IHsUjeTSP6FE9skf37Hcs7qSP9hE/6kf+6B8DxAIxQc67KndWiBlihxgilogpYosYI9bIfef37s8DtMcHr1BsHDJ4nKvgAgAA/ACDrAN4nDMxAAKFxIKCYobLswJ+vPt+XjAxpfpq66E6XU2Z5RyGBgZmJiYKSQwR1c+2HP5pP/lI5wFB6V2h00Sq1E4DAOilGUeuAXicMzEAAoXy1CSGjWctllg1pki13bL5s1DkYu2FG/8FAKgQDTiiAnicMzQwMDMxUUjUq0zMzWFYFWffoJOVa7f91QnXS5q2byzO/P8IAMPKDmB3VjYVlvG2WpP3OQUr7DHfqgmAmYl4nNvBuoV1wxYmAAw/At06JBbqE2++I+Hm0FlAaIcMayB4mQ=="

func FuzzUnpack(f *testing.F) {
	seed, err := base64.StdEncoding.DecodeString(realPack)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	limits := Limits{Content: 1 << 20, File: 1 << 20}.withDefaults()
	f.Fuzz(func(t *testing.T, pack []byte) {
		received, err := unpack(bytes.NewReader(pack), capability.NewList(), limits, 0)
		if err != nil || received == nil {
			return
		}
		m := &Mirror{options: Options{Limits: limits}}
		for head := range received.Commits {
			if next, err := m.build(received, head, nil); err == nil {
				for p := range next.revision.Tree.All() {
					if p == ".." || p == ".git" {
						t.Errorf("%q", p)
					}
				}
			}
		}
	})
}

// packed is an object as it stands in a pack.
func packed(kind plumbing.ObjectType, reference, content []byte) []byte {
	size := len(content)
	first := byte(kind)<<4 | byte(size&15)
	size >>= 4
	var out []byte
	for size > 0 {
		out = append(out, first|0x80)
		first = byte(size & 127)
		size >>= 7
	}
	out = append(append(out, first), reference...)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(content)
	_ = w.Close()
	return append(out, z.Bytes()...)
}

func packOf(objects ...[]byte) []byte {
	pack := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(objects)))
	for _, o := range objects {
		pack = append(pack, o...)
	}
	sum := sha1.Sum(pack)
	return append(pack, sum[:]...)
}

// catalogue 51: a few bytes that stand for many are refused unseen.
func TestPacksThatUnpackToTooMuchAreRefused(t *testing.T) {
	t.Parallel()
	limits := Limits{Content: 4 << 20, File: 1 << 20}.withDefaults()
	base := bytes.Repeat([]byte("x"), 64<<10)
	hash := plumbing.ComputeHash(plumbing.BlobObject, base)
	// Copies its base, 64 KiB, a thousand times.
	delta := binary.AppendUvarint(nil, 64<<10)
	delta = binary.AppendUvarint(delta, 1000*64<<10)
	delta = append(delta, bytes.Repeat([]byte{0x80}, 1000)...)
	for name, pack := range map[string][]byte{
		"one large file":  packOf(packed(plumbing.BlobObject, nil, make([]byte, 5<<20))),
		"a large commit":  packOf(packed(plumbing.CommitObject, nil, make([]byte, 5<<20))),
		"a small delta":   packOf(packed(plumbing.BlobObject, nil, base), packed(plumbing.REFDeltaObject, hash[:], delta)),
		"a lying delta":   packOf(packed(plumbing.BlobObject, nil, base), packed(plumbing.REFDeltaObject, hash[:], append([]byte{1}, bytes.Repeat([]byte{0xff}, 30)...))),
		"many full files": packOf(packed(plumbing.BlobObject, nil, make([]byte, 1<<20)), packed(plumbing.TreeObject, nil, make([]byte, 4<<20)), packed(plumbing.TreeObject, nil, make([]byte, 4<<20))),
	} {
		_, err := unpack(bytes.NewReader(pack), capability.NewList(), limits, 0)
		var much *tooMuch
		if !errors.As(err, &much) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := packOf(packed(plumbing.BlobObject, nil, base))
	if received, err := unpack(bytes.NewReader(good), capability.NewList(), limits, 0); err != nil || len(received.Blobs) != 1 {
		t.Errorf("a good pack: %v", err)
	}
	thin := packOf(packed(plumbing.REFDeltaObject, hash[:], append(binary.AppendUvarint(binary.AppendUvarint(nil, 64<<10), 1), 1, 'y')))
	if _, err := unpack(bytes.NewReader(thin), capability.NewList(), limits, 0); !errors.Is(err, errIncomplete) {
		t.Errorf("a pack that builds on what was not sent: %v", err)
	}
}

// catalogue 57: a pack says at its beginning how many objects it holds.
func TestAPackOfTooManyObjectsIsNotRead(t *testing.T) {
	t.Parallel()
	start := []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x0b")
	if _, err := unpack(bytes.NewReader(start), capability.NewList(), Limits{}.withDefaults(), 10); !errors.Is(err, errTooMany) {
		t.Errorf("11 objects where 10 are allowed: %v", err)
	}
	if _, err := unpack(bytes.NewReader(start), capability.NewList(), Limits{}.withDefaults(), 11); err == nil || errors.Is(err, errTooMany) {
		t.Errorf("11 objects that do not follow: %v", err)
	}
}

// catalogue 54: where nothing was to be left out, what is missing proves nothing.
func TestAHistoryWithAHoleIsNoAnswer(t *testing.T) {
	t.Parallel()
	base, hole := plumbing.NewHash("1111111111111111111111111111111111111111"), plumbing.NewHash("2222222222222222222222222222222222222222")
	text := func(parents ...plumbing.Hash) []byte {
		c := "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
		for _, p := range parents {
			c += "parent " + p.String() + "\n"
		}
		return []byte(c + "author a <a@example.org> 1 +0000\ncommitter a <a@example.org> 1 +0000\n\nx\n")
	}
	m := &Mirror{options: Options{Limits: Limits{}.withDefaults()}}
	for _, c := range []struct {
		name            string
		parents         []plumbing.Hash
		known           bool
		answer, descend bool
	}{
		{"all the way to the base", []plumbing.Hash{base}, true, true, true},
		{"to the base, which the server does not know", []plumbing.Hash{base}, false, true, true},
		{"by a second parent", []plumbing.Hash{hole, base}, true, true, true},
		{"to a root", nil, false, true, false},
		{"into what the base leads to", []plumbing.Hash{hole}, true, true, false},
		{"into nothing", []plumbing.Hash{hole}, false, false, false},
		{"into nothing beside the base", []plumbing.Hash{hole, base}, false, false, false},
	} {
		raw := text(c.parents...)
		received, err := unpack(bytes.NewReader(packOf(packed(plumbing.CommitObject, nil, raw))), capability.NewList(), m.options.Limits, 0)
		if err != nil {
			t.Fatal(err)
		}
		received.known = c.known
		line, err := m.trace(received, plumbing.ComputeHash(plumbing.CommitObject, raw), base)
		if (err == nil) != c.answer || line.Ancestor != c.descend || c.answer != (len(line.Commits) == 1) {
			t.Errorf("%s: %+v, %v", c.name, line, err)
		}
	}
}
