package oci_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// secrets is a Docker configuration that can be replaced and counts its
// readings.
type secrets struct {
	mu       sync.Mutex
	text     string
	err      error
	readings int
}

func (s *secrets) read(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readings++
	return []byte(s.text), s.err
}

func (s *secrets) set(text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.err = text, err
}

func (s *secrets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readings
}

// auths is a Docker configuration of key, user and password.
func auths(triples ...string) string {
	text := `{"auths": {`
	for i := 0; i < len(triples); i += 3 {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`%q: {"username": %q, "password": %q}`, triples[i], triples[i+1], triples[i+2])
	}
	return text + "}}"
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestDockerConfigSignsIn(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{false, true} {
		t.Run(fmt.Sprintf("tokens=%v", tokens), func(t *testing.T) {
			t.Parallel()
			r := start(t, registry.Options{Username: "robot", Password: "first", Tokens: tokens})
			tag, digest, _ := push(t, r)
			s, now := &secrets{text: auths(r.Host(), "robot", "first")}, newClock()
			c, err := oci.New(oci.Options{
				Registries: []oci.Registry{{Host: r.Host(), PlainHTTP: true}}, DockerConfig: s.read, Clock: now.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			works := func(because string) {
				t.Helper()
				if m, err := c.Manifest(t.Context(), tag); err != nil || m.Digest.String() != digest.DigestStr() {
					t.Errorf("%s: %v", because, err)
				}
			}
			works("at first")
			works("again")
			if n := s.count(); n != 1 {
				t.Errorf("the secret was read %d times, not once", n)
			}
			now.advance(2 * time.Minute)
			works("later")
			if n := s.count(); n != 2 {
				t.Errorf("the secret was read %d times, not again after a while", n)
			}

			s.set(auths(r.Host(), "robot", "second"), nil)
			r.SetUsers(registry.User{Name: "robot", Password: "second"})
			works("after the password was replaced")
			r.ForgetTokens()
			works("after the token ended")

			s.set("", errors.New("the API server is away"))
			now.advance(2 * time.Minute)
			works("while the secret cannot be read")
			before := s.count()
			works("still")
			if n := s.count(); n != before {
				t.Errorf("what cannot be read is read with each request")
			}

			s.set(auths("other.io", "robot", "second"), nil)
			r.SetUsers(registry.User{Name: "robot", Password: "third"})
			_, err = c.Manifest(t.Context(), tag)
			fails(t, err, "401", "check the credentials")
		})
	}
}

// A registry may come to ask for tokens where it asked for nothing.
func TestHowARegistryIsSignedInToMayChange(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{Tokens: true})
	tag, _, _ := push(t, r)
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true, Credentials: secret})
	if _, err := c.Manifest(t.Context(), tag); err != nil {
		t.Fatal(err)
	}
	r.SetUsers(registry.User{Name: "robot", Password: "s3cret"})
	if _, err := c.Manifest(t.Context(), tag); err != nil {
		t.Error(err)
	}
}

// Where several credentials match, as of a user for one repository and of
// another for the rest, each is tried, and the one that was let in stays.
func TestTheCredentialsOfTheRepositoryAreFound(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{Username: "admin", Password: "a"})
	tag, digest, _ := push(t, r)
	r.SetUsers(
		registry.User{Name: "web", Password: "w", Repositories: []string{"acme/web"}},
		registry.User{Name: "api", Password: "p", Repositories: []string{"acme/api"}},
	)
	s := &secrets{text: auths(r.Host(), "web", "w", r.Host()+"/acme", "api", "p")}
	c, err := oci.New(oci.Options{Registries: []oci.Registry{{Host: r.Host(), PlainHTTP: true}}, DockerConfig: s.read})
	if err != nil {
		t.Fatal(err)
	}
	for _, refused := range []int{1, 0} {
		r.ForgetRequests()
		if m, err := c.Manifest(t.Context(), tag); err != nil || m.Digest.String() != digest.DigestStr() {
			t.Fatalf("%v", err)
		}
		got := 0
		for _, q := range r.Requests(registry.Match{Kind: registry.Manifests}) {
			if q.Status != 200 {
				got++
			}
		}
		if got != refused {
			t.Errorf("%d refusals, want %d", got, refused)
		}
	}
}

func TestCredentialsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	tag, _, _ := push(t, r)
	for text, want := range map[string]string{
		`{"auths": {"x": {"auth": "c3VwZXJzZWNyZXQ"}}}`: "has an \"auth\" that is not base64",
		"": "is not JSON",
	} {
		s := &secrets{text: text}
		c, err := oci.New(oci.Options{Registries: []oci.Registry{{Host: r.Host(), PlainHTTP: true}}, DockerConfig: s.read})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Manifest(t.Context(), tag)
		fails(t, err, "read the credentials for "+r.Host(), want)
	}
}
