package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	labelGoodOf   = "pawl.dev/good-of"      // the agent
	labelGoodPart = "pawl.dev/good-part-of" // the agent
	goodPrefix    = "pawl-good-"
	goodIndexKey  = "index.json"
	goodPartKey   = "release.json.gz.part"
	goodPartBytes = 900 << 10 // the API server takes 1 MiB with everything around it
	// annotationContent notes the digest of what one of the agent's own objects holds.
	annotationContent = "pawl.dev/content"
	// goodKept is how many good releases are kept of each target.
	goodKept = 3
)

// releases keeps the last good releases of each target, and what it is held
// back from, in Secrets of the agent's namespace: releases hold Secrets. A
// small index names the releases; each of these is in Secrets of its own,
// which are written before the index names them and deleted after it no
// longer does. The indexes of all targets are read once, in one request, and
// what others do to any of these Secrets is watched, see tendReleases.
type releases struct {
	secrets   corev1client.SecretInterface
	namespace string
	agent     string

	// writing bounds how many releases are stored at once: a thousand targets that
	// get healthy together must not keep the API server from what still has to.
	writing chan struct{}

	mu    sync.Mutex
	known map[string]*goodIndex // by the Secret's name; nil: not read yet
	// busy has those whose index is being read or changed. One target never waits
	// for another.
	busy map[string]*sync.Mutex
	// watched is set once it is seen what others do to the Secrets.
	watched bool
	// asked are the requests that were handed on, by the index's name.
	asked map[string]string
	// seen are the indexes as they were last seen, and parts the Secrets of the
	// releases, once listed says that all of these are known.
	seen   map[string]sighting
	parts  map[string]*goodPart
	listed atomic.Bool
	// doubtful are the indexes that could not be read: what they named is not known,
	// so that no Secret is taken for one that none names.
	doubtful map[string]bool
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
	object   *corev1.Secret // without data and managedFields; nil: there is none
	content  drift.Digest   // of what was stored last; empty: nothing
	// unsaved says that the Secret holds something else, and stale that it was
	// written by others since: it is looked at first.
	unsaved, stale bool
}

// version is that of the Secret, empty if there is none.
func (i *goodIndex) version() string {
	if i.object == nil {
		return ""
	}
	return i.object.ResourceVersion
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
	// Environment is how pawl.yaml had the environment when the release was
	// accepted last. That may change while the release stays the same; earlier
	// versions wrote none, and then it is as in the parts.
	Environment *environments.Environment `json:"environment,omitempty"`
	// Content is the digest of what all of them hold together.
	Content drift.Digest `json:"content,omitempty"`
}

// Remember keeps a release that was healthy. One that is kept as the newest
// already, and is whole, costs nothing.
func (c *Cluster) Remember(ctx context.Context, g drift.Good) error {
	r := &c.releases
	name := goodName(c.options.Owner, g.Release.Target)
	defer r.lock(name)()
	index, err := c.goodIndex(ctx, name, g.Release.Target)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(index.Releases, func(e goodEntry) bool { return e.Digest == g.Release.Digest })
	whole := at >= 0 && c.isWhole(ctx, index.Releases[at])
	if at == 0 && whole && index.Releases[0].isBy(g.Terms.Environment) {
		return nil
	}
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var entry goodEntry
	if whole {
		entry = index.Releases[at]
		entry.At, entry.Environment = g.At, environmentOf(g)
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

// environmentOf is a copy, which keeps none of the release's objects in memory.
func environmentOf(g drift.Good) *environments.Environment {
	environment := g.Terms.Environment
	return &environment
}

// isBy reports whether a release is known to be kept by the settings of an
// environment.
func (e goodEntry) isBy(environment environments.Environment) bool {
	if e.Environment == nil {
		return false
	}
	known, err1 := json.Marshal(e.Environment)
	asked, err2 := json.Marshal(environment)
	return err1 == nil && err2 == nil && string(known) == string(asked)
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
			if err := c.releases.remove(ctx, part); err != nil {
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
		if errors.As(err, &lost) { // it may have been deleted just now
			g, err = r.readMended(ctx, name, t, e)
		}
		switch {
		case errors.As(err, &lost):
			problems = append(problems, lost)
			c.doubt(name, e)
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
	case index.stale:
		return r.refresh(ctx, name, index)
	}
	return index, nil
}

// refresh looks at an index that others wrote or deleted. What memory knows stays,
// unless another process of the agent wrote it. It is locked.
func (r *releases) refresh(ctx context.Context, name string, known *goodIndex) (*goodIndex, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	next := *known
	next.stale = false
	object, err := r.secrets.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		next.object, next.unsaved = nil, known.content != ""
	case err != nil:
		return nil, fmt.Errorf("%s: reading which releases were good (Secret %s/%s): %w", known.Target, r.namespace, name, err)
	default:
		stored := drift.OwnStored{There: true, Content: contentOf(object), Noted: drift.Digest(object.Annotations[annotationContent])}
		switch drift.TendOwn(known.content, stored) {
		case drift.UpkeepNone:
			next.unsaved = false
		case drift.UpkeepWrite:
			next.unsaved = true
		case drift.UpkeepTake:
			taken, err := takeIndex(object)
			if err != nil {
				taken = &goodIndex{Target: known.Target} // written anew with the next good release
				r.mu.Lock()
				r.doubtful[name] = true
				r.mu.Unlock()
			}
			next = *taken
		}
		object.Data, object.ManagedFields = nil, nil
		next.object = object
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[name] = &next
	return &next, nil
}

// takeIndex reads an index.
func takeIndex(object *corev1.Secret) (*goodIndex, error) {
	index := &goodIndex{}
	if err := json.Unmarshal(object.Data[goodIndexKey], index); err != nil {
		return nil, err
	}
	index.content = contentOf(object)
	return index, nil
}

func contentOf(object *corev1.Secret) drift.Digest {
	return drift.DigestOf(string(object.Data[goodIndexKey]))
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
		index, err := takeIndex(object)
		if err != nil {
			r.doubtful[object.Name] = true
			continue // as if there were none: it is written anew
		}
		object.Data, object.ManagedFields = nil, nil
		index.object = object
		known[object.Name] = index
	}
	r.known = known
	return nil
}

// save stores an index in place of the one that is known. Where others wrote it
// meanwhile it fails, and theirs is looked at next. It is locked.
func (r *releases) save(ctx context.Context, name string, index *goodIndex) error {
	text, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("%s: %w", index.Target, err)
	}
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Type: "pawl.dev/releases"}
	if index.object != nil {
		next = index.object
	}
	content := drift.DigestOf(string(text))
	next.Labels = with(next.Labels, labelGoodOf, r.agent)
	next.Annotations = with(with(next.Annotations, annotationFor, index.Target), annotationContent, string(content))
	next.Data = map[string][]byte{goodIndexKey: text}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var written *corev1.Secret
	if next.ResourceVersion != "" {
		written, err = r.secrets.Update(ctx, next, metav1.UpdateOptions{FieldManager: drift.FieldManager})
		if apierrors.IsNotFound(err) { // deleted by hand; memory has it all
			next.ResourceVersion, next.UID = "", ""
			delete(next.Annotations, annotationRequest) // went with it
			delete(next.Annotations, annotationAnswer)
		}
	}
	if next.ResourceVersion == "" {
		written, err = r.secrets.Create(ctx, next, metav1.CreateOptions{FieldManager: drift.FieldManager})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		overtaken := goodIndex{Target: index.Target}
		if known := r.known[name]; known != nil {
			overtaken = *known
		}
		overtaken.stale = true
		r.known[name] = &overtaken
	}
	if err != nil {
		return fmt.Errorf("%s: storing which releases were good (Secret %s/%s): %w", index.Target, r.namespace, name, err)
	}
	written.Data, written.ManagedFields = nil, nil
	index.object, index.content, index.unsaved = written, content, false
	r.known[name] = index
	return nil
}
