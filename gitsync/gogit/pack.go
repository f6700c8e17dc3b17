package gogit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage/memory"
)

// objects are those that one fetch received.
type objects struct {
	*memory.Storage
	// known says that the remote knows the commit that we said to have.
	known bool
}

func newObjects() *objects { return &objects{Storage: memory.NewStorage()} }

var (
	// errIncomplete says that a pack needs objects which it does not hold.
	errIncomplete = errors.New("the pack builds on objects that were not sent")
	// errTooMany says that a pack holds more objects than were allowed.
	errTooMany = errors.New("the pack holds too many objects")
)

// unpack reads a pack. It is weighed before it is unpacked, because unpacking
// trusts what it says about sizes: a few bytes can stand for gigabytes. If most
// is not 0, a pack of more objects is not even read.
func unpack(response io.Reader, capabilities *capability.List, limits Limits, most int) (*objects, error) {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		response = sideband.NewDemuxer(sideband.Sideband64k, response)
	case capabilities.Supports(capability.Sideband):
		response = sideband.NewDemuxer(sideband.Sideband, response)
	}
	received := newObjects()
	var start [12]byte // "PACK", the version, the number of objects
	switch n, err := io.ReadFull(response, start[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return received, nil
	case err != nil:
		return nil, fmt.Errorf("receive: %w", err)
	case most > 0 && int64(binary.BigEndian.Uint32(start[8:])) > int64(most):
		return nil, errTooMany
	}
	rest, err := io.ReadAll(response)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	pack := append(start[:], rest...)
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
