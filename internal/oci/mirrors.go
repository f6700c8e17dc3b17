package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Mirror holds copies of a registry's images. It is reached as the options of
// its own host say, with the credentials for that host.
//
// A mirror is not believed: what it serves is checked against the digest that
// was asked for, and images keep the name that they have at their origin. What
// it does not have, or cannot give, is asked of the next one and in the end of
// the origin. What a tag means is asked of the origin alone, as nothing would
// tell if a mirror were behind; tags and referrers under which signatures are
// kept are no such case, as who signed vouches for them.
type Mirror struct {
	// Host of the mirror: "mirror.acme.com".
	Host string
	// Path under which the mirror keeps this registry's images: with
	// "dockerhub", docker.io/library/nginx is mirror.acme.com/dockerhub/library/nginx.
	Path string
	// Complete says that the mirror has all that there is, as where the origin
	// cannot be reached from: what is not there is nowhere, and its tags count.
	Complete bool
}

const (
	mirrorTimeout = 10 * time.Second
	// rest is for how long a mirror that failed is not asked.
	rest = 30 * time.Second
)

type mirror struct {
	Mirror
	now func() time.Time

	mu     sync.Mutex
	failed time.Time
}

func checkMirrors(host string, mirrors []Mirror) error {
	for i, m := range mirrors {
		of, err := normalHost(m.Host)
		if err == nil && of == host && strings.Trim(m.Path, "/") == "" {
			err = errors.New("is the registry itself")
		}
		if err == nil {
			_, err = m.name(name.Repository{}.Registry.Repo("x"))
		}
		if err != nil {
			return fmt.Errorf("mirrors[%d] %q: %w", i, m.Host, err)
		}
	}
	return nil
}

// name is what the mirror calls a repository.
func (m Mirror) name(repo name.Repository) (name.Repository, error) {
	path := repo.RepositoryStr()
	if prefix := strings.Trim(m.Path, "/"); prefix != "" {
		path = prefix + "/" + path
	}
	// Not by name.NewRepository, to which a host without a dot is none.
	registry, err := name.NewRegistry(m.Host)
	if err != nil {
		return name.Repository{}, err
	}
	if _, err := name.NewRepository("registry.test/" + path); err != nil {
		return name.Repository{}, err
	}
	there := registry.Repo(path)
	return there, checkName(there)
}

func (m *mirror) serves(a aspect, originOnly bool) bool {
	if !m.Complete && (originOnly || a == tags) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Complete || m.failed.IsZero() || m.now().Sub(m.failed) >= rest
}

// remember notes how it went, so that a mirror that is down does not hold up
// every request.
func (m *mirror) remember(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = time.Time{}
	if e := (*Error)(nil); errors.As(err, &e) && e.kind != ErrNotFound && e.kind != ErrInvalid &&
		(e.Status == 0 || e.Status >= 500 || e.Status == http.StatusTooManyRequests) {
		m.failed = m.now()
	}
}

// errNothing is an answer without anything in it.
var errNothing = errors.New("nothing")

// ask puts one request to the mirrors and then to the registry itself.
func ask[T any](ctx context.Context, c *Client, repo name.Repository, a aspect, doing string, f request[T]) (T, error) {
	var zero T
	if err := checkName(repo); err != nil {
		return zero, invalid(repo, doing, "was not asked: "+err.Error())
	}
	origin, err := c.registry(repo.RegistryStr())
	if err != nil {
		return zero, err
	}
	var failed []string
	for _, m := range origin.mirrors {
		if !m.serves(a, c.originOnly) {
			continue
		}
		v, err := askMirror(ctx, c, m, repo, doing, f)
		if err == nil {
			return v, nil
		}
		absent := errors.Is(err, ErrNotFound) || errors.Is(err, errNothing)
		if ctx.Err() != nil || absent && m.Complete {
			return zero, err
		}
		if e := (*Error)(nil); errors.As(err, &e) && !absent {
			failed = append(failed, fmt.Sprintf("its mirror %s %s", m.Host, e.Reason))
		}
	}
	v, err := put(ctx, origin, repo, doing, f)
	if e := (*Error)(nil); errors.As(err, &e) && len(failed) > 0 {
		told := *e
		told.Reason += "; " + strings.Join(failed, "; ")
		return zero, &told
	}
	return v, err
}

// askMirror leaves at least half of the time for those who are asked after it.
func askMirror[T any](ctx context.Context, c *Client, m *mirror, repo name.Repository, doing string, f request[T]) (T, error) {
	var zero T
	there, err := m.name(repo)
	if err != nil {
		return zero, err
	}
	if there, err = c.reached(there); err != nil {
		return zero, err
	}
	r, err := c.registry(there.RegistryStr())
	if err != nil {
		return zero, err
	}
	allowed := mirrorTimeout
	if deadline, ok := ctx.Deadline(); ok {
		allowed = min(allowed, time.Until(deadline)/2)
	}
	bounded, cancel := context.WithTimeout(ctx, allowed)
	defer cancel()
	v, err := put(bounded, r, there, doing, f)
	if ctx.Err() == nil {
		m.remember(err)
	}
	return v, err
}
