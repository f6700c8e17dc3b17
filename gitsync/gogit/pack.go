package gogit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage/memory"
)

// objects are those that one fetch received.
type objects struct{ *memory.Storage }

func newObjects() *objects { return &objects{memory.NewStorage()} }

// errIncomplete says that a pack needs objects which it does not hold.
var errIncomplete = errors.New("the pack builds on objects that were not sent")

// unpack reads a pack. It is weighed before it is unpacked, because unpacking
// trusts what it says about sizes: a few bytes can stand for gigabytes.
func unpack(response io.Reader, capabilities *capability.List, limits Limits) (*objects, error) {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		response = sideband.NewDemuxer(sideband.Sideband64k, response)
	case capabilities.Supports(capability.Sideband):
		response = sideband.NewDemuxer(sideband.Sideband, response)
	}
	pack, err := io.ReadAll(response)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	received := newObjects()
	if len(pack) == 0 {
		return received, nil
	}
	if err := weigh(pack, limits); err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	err = packfile.UpdateObjectStorage(received, bytes.NewReader(pack))
	if errors.Is(err, packfile.ErrReferenceDeltaNotFound) || errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, errIncomplete
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return received, nil
}

// weigh adds up what the objects of a pack would take.
func weigh(pack []byte, limits Limits) error {
	scanner := packfile.NewScanner(bytes.NewReader(pack))
	defer scanner.Close()
	_, count, err := scanner.Header()
	if err != nil {
		return err
	}
	var total int64
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return err
		}
		weight := header.Length
		if weight > limits.Content {
			return tooManyBytes(limits.Content, "content")
		}
		// A delta is small; what it makes stands at its beginning.
		var start prefix
		if _, _, err := scanner.NextObject(&start); err != nil {
			return err
		}
		if header.Type.IsDelta() {
			weight = max(weight, start.deltaResult())
		}
		if header.Type == plumbing.BlobObject && weight > limits.File {
			return tooManyBytes(limits.File, "one file")
		}
		if total += weight; weight > limits.Content || total > 2*limits.Content {
			// Twice, because trees and history come with the files.
			return tooManyBytes(limits.Content, "content")
		}
	}
	return nil
}

// prefix keeps the first bytes written to it.
type prefix struct{ start []byte }

func (p *prefix) Write(b []byte) (int, error) {
	if room := 2*binary.MaxVarintLen64 - len(p.start); room > 0 {
		p.start = append(p.start, b[:min(room, len(b))]...)
	}
	return len(b), nil
}

// deltaResult is the size of what a delta makes: its second number.
func (p *prefix) deltaResult() int64 {
	_, n := binary.Uvarint(p.start)
	if n <= 0 {
		return 0
	}
	result, n := binary.Uvarint(p.start[n:])
	if n <= 0 || result > 1<<62 {
		return 1 << 62
	}
	return int64(result)
}

// descends reports whether following parents leads from head to the commit,
// within the commits received. Those behind the commit are never received, so
// a history that does not lead there has been rewritten.
func descends(received *objects, head, commit plumbing.Hash) bool {
	seen := map[plumbing.Hash]bool{head: true}
	for left := []plumbing.Hash{head}; len(left) > 0; {
		at := left[len(left)-1]
		left = left[:len(left)-1]
		if at == commit {
			return true
		}
		raw := received.Commits[at]
		if raw == nil {
			continue
		}
		var c object.Commit
		if err := c.Decode(raw); err != nil {
			continue
		}
		for _, parent := range c.ParentHashes {
			if !seen[parent] {
				seen[parent] = true
				left = append(left, parent)
			}
		}
	}
	return false
}
