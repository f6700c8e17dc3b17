package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

const (
	labelGoodOf   = "pawl.dev/good-of" // the agent
	goodPrefix    = "pawl-good-"
	goodIndexKey  = "index.json"
	goodPartKey   = "release.json.gz.part"
	goodPartBytes = 900 << 10 // the API server takes 1 MiB with everything around it
	// goodKept is how many good releases are kept of each target.
	goodKept = 3
)

// releases keeps the last good releases of each target, and what it is held
// back from, in Secrets of the agent's namespace: releases hold Secrets. A
// small index names the releases; each of these is in Secrets of its own,
// which are written before the index names them and deleted after it no
// longer does. The indexes of all targets are read once, in one request.
type releases struct {
	secrets   corev1client.SecretInterface
	namespace string
	agent     string

	// writing bounds how many releases are stored at once: a thousand targets that
	// get healthy together must not keep the API server from what still has to.
	writing chan struct{}

	mu    sync.Mutex
	known map[string]*goodIndex // by the Secret's name; nil: not read yet, one or all
	// busy has those whose index is being read or changed. One target never waits
	// for another.
	busy map[string]*sync.Mutex
	// watched is set once it is seen what others do to the Secrets.
	watched bool
	// asked are the requests that were handed on, by the index's name.
	asked map[string]string
}

// storingReleases is how many releases are stored at once.
const storingReleases = 4

// lock is held while a target's index is used.
func (r *releases) lock(name string) (unlock func()) {
	r.mu.Lock()
	one := r.busy[name]
	if one == nil {
		one = &sync.Mutex{}
		r.busy[name] = one
	}
	r.mu.Unlock()
	one.Lock()
	return one.Unlock
}

// goodIndex is what is known of a target's good releases, the newest first.
type goodIndex struct {
	Target   string         `json:"target"`
	Releases []goodEntry    `json:"releases"`
	Hold     *drift.Hold    `json:"hold,omitempty"`
	object   *corev1.Secret // without data and managedFields
}

// without is the releases but one, in a list of its own.
func (i *goodIndex) without(release string) []goodEntry {
	return slices.DeleteFunc(slices.Clone(i.Releases), func(e goodEntry) bool { return e.Digest == release })
}

type goodEntry struct {
	Digest string         `json:"digest"`
	Commit gitsync.Commit `json:"commit"`
	At     time.Time      `json:"at"`
	Parts  []string       `json:"parts"` // the names of the Secrets
}

// Remember keeps a release that was healthy. One that is kept as the newest
// already costs nothing.
func (c *Cluster) Remember(ctx context.Context, g drift.Good) error {
	r := &c.releases
	name := goodName(c.options.Owner, g.Release.Target)
	defer r.lock(name)()
	index, err := c.goodIndex(ctx, name, g.Release.Target)
	if err != nil {
		return err
	}
	if len(index.Releases) > 0 && index.Releases[0].Digest == g.Release.Digest {
		return nil
	}
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var entry goodEntry
	if at := slices.IndexFunc(index.Releases, func(e goodEntry) bool { return e.Digest == g.Release.Digest }); at >= 0 {
		entry = index.Releases[at]
		entry.At = g.At
	} else if entry, err = r.write(ctx, name, g); err != nil {
		return err
	}
	var surplus []goodEntry
	err = c.changeIndex(ctx, name, g.Release.Target, func(next *goodIndex) bool {
		next.Releases = slices.Insert(next.without(entry.Digest), 0, entry)
		kept := min(len(next.Releases), goodKept)
		next.Releases, surplus = next.Releases[:kept:kept], next.Releases[kept:]
		return true
	})
	if err != nil {
		return err
	}
	c.removeParts(ctx, surplus)
	return nil
}

// Discard makes a release none of the good ones any more. One that is none costs
// nothing.
func (c *Cluster) Discard(ctx context.Context, t environments.Target, release string) error {
	name := goodName(c.options.Owner, t)
	defer c.releases.lock(name)()
	var gone []goodEntry
	err := c.changeIndex(ctx, name, t, func(next *goodIndex) bool {
		at := slices.IndexFunc(next.Releases, func(e goodEntry) bool { return e.Digest == release })
		if at < 0 {
			return false
		}
		gone = next.Releases[at : at+1]
		next.Releases = next.without(release)
		return true
	})
	if err != nil {
		return err
	}
	c.removeParts(ctx, gone)
	return nil
}

// removeParts deletes the Secrets of releases that the index no longer names.
func (c *Cluster) removeParts(ctx context.Context, gone []goodEntry) {
	for _, e := range gone {
		for _, part := range e.Parts {
			if err := c.releases.secrets.Delete(ctx, part, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				c.options.Log.Warn().Err(err).Str("secret", part).Msg("a release that is no longer kept could not be removed")
			}
		}
	}
}

// Good returns the good releases of a target, the newest first. One that cannot
// be read is left out, and the error says so beside the others.
func (c *Cluster) Good(ctx context.Context, t environments.Target) ([]drift.Good, error) {
	r := &c.releases
	name := goodName(c.options.Owner, t)
	unlock := r.lock(name)
	index, err := c.goodIndex(ctx, name, t)
	unlock()
	if err != nil {
		return nil, err
	}
	var found []drift.Good
	var problems []error
	for _, e := range index.Releases {
		g, err := r.read(ctx, e)
		var lost *drift.Lost
		switch {
		case errors.As(err, &lost):
			problems = append(problems, lost)
			continue
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: the good release of %s: %w", t, e.Commit.Short(), err))
			continue
		}
		g.Release.Target = t // the overlay may have moved
		found = append(found, g)
	}
	return found, errors.Join(problems...)
}

// Held is what a target is held back from, nil if nothing.
func (c *Cluster) Held(ctx context.Context, t environments.Target) (*drift.Hold, error) {
	name := goodName(c.options.Owner, t)
	defer c.releases.lock(name)()
	index, err := c.goodIndex(ctx, name, t)
	if err != nil {
		return nil, err
	}
	return index.Hold, nil
}

// Hold holds a target back from a release, or with nil from none any more.
func (c *Cluster) Hold(ctx context.Context, t environments.Target, h *drift.Hold) error {
	name := goodName(c.options.Owner, t)
	defer c.releases.lock(name)()
	return c.changeIndex(ctx, name, t, func(next *goodIndex) bool {
		changed := next.Hold != nil || h != nil
		next.Hold = h
		return changed
	})
}

// goodName is the name of the Secret that names a target's good releases.
func goodName(owner string, t environments.Target) string {
	return goodPrefix + strings.TrimPrefix(inventoryName(drift.MarkFor(owner, t)), inventoryPrefix)
}

// changeIndex changes a target's index and stores it, unless edit says that nothing
// is to be changed. Where somebody else wrote the Secret meanwhile, were it an
// annotation, theirs is read and changed at once. It is locked.
func (c *Cluster) changeIndex(ctx context.Context, name string, t environments.Target, edit func(next *goodIndex) bool) error {
	for tries := 1; ; tries++ {
		index, err := c.goodIndex(ctx, name, t)
		if err != nil {
			return err
		}
		next := *index
		next.object = index.object.DeepCopy()
		if !edit(&next) {
			return nil
		}
		err = c.releases.save(ctx, name, &next)
		if overtaken := apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err); !overtaken || tries == changeTries {
			return err
		}
	}
}

// changeTries is how often an index is changed that others keep writing.
const changeTries = 5

// goodIndex is the index of a target, empty if there is none. It is locked.
func (c *Cluster) goodIndex(ctx context.Context, name string, t environments.Target) (*goodIndex, error) {
	r := &c.releases
	r.mu.Lock()
	if r.known == nil {
		if err := r.list(ctx); err != nil {
			r.mu.Unlock()
			return nil, err
		}
	}
	c.watchReleases()
	index, ok := r.known[name]
	r.mu.Unlock()
	switch {
	case !ok:
		return &goodIndex{Target: t.String()}, nil
	case index == nil:
		return r.readIndex(ctx, name, t)
	}
	return index, nil
}

// readIndex reads an index that somebody else wrote. It is locked.
func (r *releases) readIndex(ctx context.Context, name string, t environments.Target) (*goodIndex, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	index := &goodIndex{}
	object, err := r.secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		index.Target = t.String()
	case err != nil:
		return nil, fmt.Errorf("%s: reading which releases were good (Secret %s/%s): %w", t, r.namespace, name, err)
	default:
		if err := json.Unmarshal(object.Data[goodIndexKey], index); err != nil {
			index = &goodIndex{Target: t.String()} // written anew with the next good release
		}
		object.Data, object.ManagedFields = nil, nil
		index.object = object
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[name] = index
	return index, nil
}

func (r *releases) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := r.secrets.List(ctx, metav1.ListOptions{LabelSelector: labelGoodOf + "=" + r.agent})
	if err != nil {
		return fmt.Errorf("reading which releases were good, in Secrets of namespace %s: %w", r.namespace, err)
	}
	known := map[string]*goodIndex{}
	for i := range list.Items {
		object := &list.Items[i]
		index := &goodIndex{}
		if err := json.Unmarshal(object.Data[goodIndexKey], index); err != nil {
			continue // as if there were none: it is written anew with the next good release
		}
		object.Data, object.ManagedFields = nil, nil
		index.object = object
		known[object.Name] = index
	}
	r.known = known
	return nil
}

// write stores a release in Secrets of its own.
func (r *releases) write(ctx context.Context, name string, g drift.Good) (goodEntry, error) {
	content, err := g.Encode()
	if err != nil {
		return goodEntry{}, err
	}
	entry := goodEntry{Digest: g.Release.Digest, Commit: g.Release.Commit, At: g.At}
	id := string(drift.DigestOf(g.Release.Digest)[:10])
	for part := range slices.Chunk(content, goodPartBytes) {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%d", name, id, len(entry.Parts)), Annotations: map[string]string{annotationFor: g.Release.Target.String()}},
			Type:       "pawl.dev/release", Data: map[string][]byte{goodPartKey: part},
		}
		if err := r.put(ctx, secret); err != nil {
			return goodEntry{}, fmt.Errorf("%s: storing a good release (Secret %s/%s): %w", g.Release.Target, r.namespace, secret.Name, err)
		}
		entry.Parts = append(entry.Parts, secret.Name)
	}
	return entry, nil
}

// put creates a Secret, or replaces what a crash may have left of it.
func (r *releases) put(ctx context.Context, secret *corev1.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := r.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: drift.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		_, err = r.secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: drift.FieldManager})
	}
	return err
}

func (r *releases) read(ctx context.Context, e goodEntry) (drift.Good, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var content []byte
	for _, part := range e.Parts {
		secret, err := r.secrets.Get(ctx, part, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return drift.Good{}, &drift.Lost{Commit: e.Commit, Err: fmt.Errorf("the Secret %s/%s is gone", r.namespace, part)}
		}
		if err != nil {
			return drift.Good{}, fmt.Errorf("reading Secret %s/%s: %w", r.namespace, part, err)
		}
		content = append(content, secret.Data[goodPartKey]...)
	}
	g, err := drift.DecodeGood(content)
	if err == nil && g.Release.Digest != e.Digest {
		err = errors.New("it is another release than the index says")
	}
	if err != nil {
		return drift.Good{}, &drift.Lost{Commit: e.Commit, Err: err}
	}
	return g, nil
}

// save stores an index that nobody else has. Whoever wrote it meanwhile wins, and is read.
func (r *releases) save(ctx context.Context, name string, index *goodIndex) error {
	text, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("%s: %w", index.Target, err)
	}
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: "pawl.dev/releases"}
	if index.object != nil {
		next = index.object
	}
	next.Labels = with(next.Labels, labelGoodOf, r.agent)
	next.Annotations = with(next.Annotations, annotationFor, index.Target)
	next.Data = map[string][]byte{goodIndexKey: text}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var written *corev1.Secret
	if next.ResourceVersion != "" {
		written, err = r.secrets.Update(ctx, next, metav1.UpdateOptions{FieldManager: drift.FieldManager})
		if apierrors.IsNotFound(err) { // deleted by hand; memory has it all
			next.ResourceVersion, next.UID = "", ""
		}
	}
	if next.ResourceVersion == "" {
		written, err = r.secrets.Create(ctx, next, metav1.CreateOptions{FieldManager: drift.FieldManager})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		r.known[name] = nil
	}
	if err != nil {
		return fmt.Errorf("%s: storing which releases were good (Secret %s/%s): %w", index.Target, r.namespace, name, err)
	}
	written.Data, written.ManagedFields = nil, nil
	index.object = written
	r.known[name] = index
	return nil
}
