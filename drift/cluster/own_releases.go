package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/drift"
)

// tendReleases makes what is stored of a target's good releases what is known of
// them. The index is in memory. What was in a part is in the event of its
// deletion; where that was missed the release is lost, and no longer promised,
// until it is remembered anew. Parts without an index make one.
func (c *Cluster) tendReleases(ctx context.Context, name string, t *target) (found drift.Own, err error) {
	r := &c.releases
	defer r.lock(name)()
	index, err := c.goodIndex(ctx, name, t.Target)
	if err != nil {
		return found, err
	}
	r.mu.Lock()
	news := r.seen[name].newer(index.version())
	r.mu.Unlock()
	if news {
		if index, err = r.refresh(ctx, name, index); err != nil {
			return found, err
		}
	}
	rebuilt, err := r.rebuild(ctx, c.options.Owner, name, index)
	if err != nil {
		return found, err
	}
	if index.unsaved || len(rebuilt) > 0 {
		next := *index
		next.object = index.object.DeepCopy()
		if len(rebuilt) > 0 {
			next.Releases = rebuilt
		}
		if err := r.save(ctx, name, &next); err != nil {
			return found, err
		}
		index = &next
		found.Written = append(found.Written, "Secret "+r.namespace+"/"+name)
	}
	err = c.tendParts(ctx, name, t, index, &found)
	return found, err
}

// tendParts looks after the Secrets of the releases that an index names, and
// removes those that none names. It is locked.
func (c *Cluster) tendParts(ctx context.Context, name string, t *target, index *goodIndex, found *drift.Own) error {
	r := &c.releases
	r.mu.Lock()
	listed, doubtful := r.listed.Load(), r.doubtful[name]
	odd := slices.DeleteFunc(slices.Clone(index.Releases), r.sure)
	there := r.partsOf(name)
	r.mu.Unlock()
	if !listed {
		return nil // it is looked at once they are
	}
	var gone []goodEntry
	for _, e := range odd {
		written, err := r.mend(ctx, t.name, e)
		found.Written = append(found.Written, written...)
		var lost *drift.Lost
		switch {
		case errors.As(err, &lost):
			found.Lost, gone = append(found.Lost, lost), append(gone, e)
		case err != nil:
			return err
		}
	}
	if len(gone) > 0 {
		err := c.changeIndex(ctx, name, t.Target, func(next *goodIndex) bool {
			before := len(next.Releases)
			for _, e := range gone {
				next.Releases = next.without(e.Digest)
			}
			return len(next.Releases) < before
		})
		if err != nil {
			found.Lost = nil // is found again
			return err
		}
		c.removeParts(ctx, gone)
	}
	if index.object == nil || doubtful {
		return nil
	}
	var named [][]string
	for _, e := range index.Releases {
		named = append(named, e.Parts)
	}
	for _, part := range drift.OrphanParts(there, named...) {
		if err := r.remove(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// partsOf are the parts that are there for an index. r.mu is held.
func (r *releases) partsOf(name string) []string {
	var found []string
	for part, p := range r.parts {
		if p.seen.version != "" && !p.seen.gone && indexOf(part) == name {
			found = append(found, part)
		}
	}
	return found
}

// mend makes the parts of a release whole: of what they hold, or else of what they
// held when they were deleted.
func (r *releases) mend(ctx context.Context, target string, e goodEntry) (written []string, err error) {
	secrets, err := r.fetch(ctx, e.Parts)
	if err != nil {
		return nil, err
	}
	contents := held(secrets)
	if _, err := r.assemble(e, contents); err != nil {
		behind := false
		r.mu.Lock()
		for i, part := range e.Parts {
			p := r.part(part)
			behind = behind || p.behind(secrets[i])
			if p.left != nil {
				contents[i] = p.left
			}
		}
		r.mu.Unlock()
		if _, err := r.assemble(e, contents); err != nil && behind {
			return nil, fmt.Errorf("the good release of %s was deleted or damaged, and watching has yet to show what it was", e.Commit.Short())
		} else if err != nil {
			return nil, err
		}
	}
	for i, part := range e.Parts {
		switch s := secrets[i]; {
		case s == nil || !bytes.Equal(s.Data[goodPartKey], contents[i]):
			r.mu.Lock()
			r.part(part).left = contents[i] // until it is written
			r.mu.Unlock()
			err = r.put(ctx, part, target, contents[i])
		case s.Labels[labelGoodPart] == r.agent:
			r.vouch(part, s.ResourceVersion)
			continue
		default: // of before there was a label, or somebody took it off
			err = r.label(ctx, s)
		}
		if err != nil {
			return written, err
		}
		written = append(written, "Secret "+r.namespace+"/"+part)
	}
	return written, nil
}

// rebuild makes what an index says of the parts that are there, once all are
// listed, where nothing is known of an index: it was deleted, or made unreadable,
// while no agent ran. What it held the target back from is not to be known any more.
func (r *releases) rebuild(ctx context.Context, owner, name string, index *goodIndex) ([]goodEntry, error) {
	if index.content != "" || !r.listed.Load() {
		return nil, nil
	}
	r.mu.Lock()
	there := r.partsOf(name)
	r.mu.Unlock()
	parts := map[string][]string{}
	for _, part := range there {
		id := partName.FindStringSubmatch(part)[2]
		parts[id] = append(parts[id], part)
	}
	var found []goodEntry
	for id, names := range parts {
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(partNumber(a), partNumber(b)) })
		secrets, err := r.fetch(ctx, names)
		if err != nil {
			return nil, err
		}
		content := bytes.Join(held(secrets), nil)
		g, err := drift.DecodeGood(content)
		if err != nil || releaseID(g.Release.Digest) != id || goodName(owner, g.Release.Target) != name {
			continue
		}
		found = append(found, goodEntry{Digest: g.Release.Digest, Commit: g.Release.Commit, At: g.At, Parts: names, Content: drift.DigestOf(string(content))})
	}
	slices.SortFunc(found, func(a, b goodEntry) int { return b.At.Compare(a.At) })
	return found[:min(len(found), goodKept)], nil
}

func partNumber(part string) int {
	n, _ := strconv.Atoi(partName.FindStringSubmatch(part)[3])
	return n
}

// isWhole reports whether a release is kept whole, as far as watching tells. That
// is believed where nothing is watched.
func (c *Cluster) isWhole(ctx context.Context, e goodEntry) bool {
	c.mu.Lock()
	on := c.upkeep.on
	c.mu.Unlock()
	if !on {
		return true
	}
	r := &c.releases
	bounded, cancel := context.WithTimeout(ctx, persistence)
	defer cancel()
	if err := c.wait(bounded, r.listed.Load); err != nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sure(e)
}

// doubt has a release looked at of which something could not be read.
func (c *Cluster) doubt(name string, e goodEntry) {
	r := &c.releases
	r.mu.Lock()
	for _, part := range e.Parts {
		r.part(part).doubted = true
	}
	r.mu.Unlock()
	c.upkeep.queue.Add(ownID{ownReleases, name})
}

// sawPart takes in what became of a part.
func (c *Cluster) sawPart(o metav1.Object, s sighting) (index string, news bool) {
	r, name := &c.releases, o.GetName()
	index = indexOf(name)
	if index == "" || goodName(c.options.Owner, targetNamed(o.GetAnnotations()[annotationFor])) != index {
		return "", false // somebody else's, whatever its label says
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.part(name)
	p.seen = s
	if s.gone && (p.sure == "" || s.newer(p.sure)) {
		if known := r.known[index]; known != nil && slices.ContainsFunc(known.Releases, func(e goodEntry) bool { return slices.Contains(e.Parts, name) }) {
			if p.left == nil { // else that is what was written, and this came after it
				p.left = heldBy(o)
			}
		} else {
			delete(r.parts, name)
		}
	}
	return index, s.newer(p.sure)
}

// heldBy is what a part holds that a watch shows, nil if it does not show it.
func heldBy(o metav1.Object) []byte {
	object, ok := o.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	text, found, err := unstructured.NestedString(object.Object, "data", goodPartKey)
	if err != nil || !found {
		return nil
	}
	content, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return content
}

// listedParts takes in that all parts were listed. What is first seen so is
// believed until it is read.
func (r *releases) listedParts(there map[string]bool, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.parts {
		switch {
		case !there[name]:
			p.seen = sighting{version, true}
		case !r.listed.Load() && p.sure == "":
			p.sure = p.seen.version
		}
	}
	r.listed.Store(true)
}

// sawIndex takes in what became of an index.
func (c *Cluster) sawIndex(name string, s sighting) {
	r := &c.releases
	r.mu.Lock()
	r.seen[name] = s
	known := r.known[name]
	news := known == nil || s.newer(known.version())
	r.mu.Unlock()
	if news {
		c.upkeep.queue.Add(ownID{ownReleases, name})
	}
}
