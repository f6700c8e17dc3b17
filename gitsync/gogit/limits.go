package gogit

import (
	"fmt"
	"io"
	"math"
)

// Limits bound what a repository may cost. What exceeds one is refused with
// *gitsync.TooLarge, and the revision held stays. Zero means the default.
type Limits struct {
	// Refs is what the advertisement of all branches and tags may take, in
	// bytes; 32 MiB, some 400,000 refs.
	Refs int64
	// Transfer is what one fetch may receive, in bytes; 64 MiB.
	Transfer int64
	// Content is what all files may hold together, in bytes; 128 MiB.
	Content int64
	// File is what one file may hold, in bytes; 32 MiB. The content of a larger one
	// is not kept, which is an error for those who read it and for nobody else.
	File int64
	// Entries is how many files, folders and links there may be; 100,000.
	Entries int
	// Depth is how deep folders may lie in one another; 100.
	Depth int
	// Commit is what one commit object may hold, in bytes; 1 MiB.
	Commit int64
	// History is how many commits there may be between two; 5,000.
	History int
}

func (l Limits) withDefaults() Limits {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Refs, 32<<20)
	def(&l.Transfer, 64<<20)
	def(&l.Content, 128<<20)
	def(&l.File, 32<<20)
	def(&l.Commit, 1<<20)
	if l.History == 0 {
		l.History = 5_000
	}
	if l.Entries == 0 {
		l.Entries = 100_000
	}
	if l.Depth == 0 {
		l.Depth = 100
	}
	return l
}

// tooMuch says which limit was exceeded.
type tooMuch struct{ limit string }

func (e *tooMuch) Error() string { return "more than " + e.limit }

func tooManyBytes(limit int64, of string) *tooMuch {
	return &tooMuch{fmt.Sprintf("%s of %s", size(limit), of)}
}

func size(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// limitedBody fails, rather than ends, where there is more than allowed.
type limitedBody struct {
	io.ReadCloser
	left  int64
	limit error
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.limit
	}
	if int64(len(p)) > b.left && b.left < math.MaxInt64 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, b.limit
	}
	return n, err
}

// Close reads what little is left, so that the connection can be used again:
// go-git stops reading at the last packet that it needs.
func (b *limitedBody) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, 4<<10)
	return b.ReadCloser.Close()
}
