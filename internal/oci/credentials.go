package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Credentials are a user and a password or token. They print as redacted.
type Credentials struct {
	Username string
	Password string
}

func (Credentials) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, "[redacted]") }
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal("[redacted]") }

// keyring finds the credentials for a repository, the ones to try first first.
type keyring interface {
	For(repo name.Repository) []Credentials
}

// only is a keyring of one registry's own credentials.
type only Credentials

func (o only) For(name.Repository) []Credentials {
	if o == (only{}) {
		return nil
	}
	return []Credentials{Credentials(o)}
}

// kept is how long credentials are used before they are read again. Those that
// a registry refuses are read again at once.
const kept = time.Minute

// source reads a keyring and keeps it for a while.
type source struct {
	read func(context.Context) (keyring, error)
	now  func() time.Time

	lock    chan struct{} // a mutex that can be waited for with a context
	current keyring       // nil before the first reading
	at      time.Time
	failed  time.Time // the last attempt to read, if it failed
	reading int       // counts what was read
}

func newSource(read func(context.Context) (keyring, error), now func() time.Time) *source {
	return &source{read: read, now: now, lock: make(chan struct{}, 1)}
}

// get returns the keyring and the number of its reading, at least the given
// one. What was read stays in use while it cannot be read again: a file that
// is being replaced, or an API server that is away, is no reason to sign out.
func (s *source) get(ctx context.Context, atLeast int) (keyring, int, error) {
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	now := s.now()
	fresh := s.current != nil && now.Sub(s.at) < kept
	resting := s.current != nil && now.Sub(s.failed) < kept && s.reading >= atLeast
	if s.reading >= atLeast && (fresh || resting) {
		return s.current, s.reading, nil
	}
	read, err := s.read(ctx)
	if err == nil {
		s.current, s.at, s.failed = read, now, time.Time{}
		s.reading++
		return s.current, s.reading, nil
	}
	s.failed = now
	if s.current == nil {
		return nil, 0, err
	}
	return s.current, s.reading, nil
}
