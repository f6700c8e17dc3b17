package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
)

// goodPart is a Secret with a release, or with a part of one, as it is known.
type goodPart struct {
	seen sighting
	// sure is the version that is known to hold what was written, empty if there is none.
	sure string
	// doubted says that it could not be read as that all the same.
	doubted bool
	// left is what it held when it was deleted, as long as that may be needed.
	left []byte
}

// behind reports whether watching has yet to show how the Secret became as it was
// read just now, nil if it is gone.
func (p *goodPart) behind(secret *corev1.Secret) bool {
	switch {
	case p.seen.version == "" && p.sure == "": // it was not there when all were listed
		return false
	case secret == nil:
		return !p.seen.gone
	}
	return p.seen.version == "" || older(p.seen.version, secret.ResourceVersion)
}

// partName says of which index and release a part is. Nothing else that bears
// the label is touched.
var partName = regexp.MustCompile(`^(` + goodPrefix + `.+)-([0-9a-f]{10})-([0-9]{1,3})$`)

// indexOf is the index of the release that a part is of, "" for no part.
func indexOf(part string) string {
	if found := partName.FindStringSubmatch(part); found != nil {
		return found[1]
	}
	return ""
}

// write stores a release in Secrets of its own.
func (r *releases) write(ctx context.Context, name string, g drift.Good) (goodEntry, error) {
	content, err := g.Encode()
	if err != nil {
		return goodEntry{}, err
	}
	entry := goodEntry{Digest: g.Release.Digest, Commit: g.Release.Commit, At: g.At, Environment: environmentOf(g), Content: drift.DigestOf(string(content))}
	for part := range slices.Chunk(content, goodPartBytes) {
		partName := fmt.Sprintf("%s-%s-%d", name, releaseID(g.Release.Digest), len(entry.Parts))
		if err := r.put(ctx, partName, g.Release.Target.String(), part); err != nil {
			return goodEntry{}, fmt.Errorf("%s: storing a good release (Secret %s/%s): %w", g.Release.Target, r.namespace, partName, err)
		}
		entry.Parts = append(entry.Parts, partName)
	}
	return entry, nil
}

// releaseID stands for a release in the names of its parts.
func releaseID(digest string) string { return string(drift.DigestOf(digest)[:10]) }

// put creates a Secret, in place of what a crash or a person may have left there.
func (r *releases) put(ctx context.Context, name, target string, content []byte) error {
	fixed := true
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelGoodPart: r.agent}, Annotations: map[string]string{annotationFor: target}},
		Type:       "pawl.dev/release",
		Immutable:  &fixed, // a changed one is another one
		Data:       map[string][]byte{goodPartKey: content},
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	created, err := r.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: drift.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		if err := r.delete(ctx, name); err != nil {
			return err
		}
		created, err = r.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: drift.FieldManager})
	}
	if err != nil {
		return err
	}
	r.vouch(name, created.ResourceVersion)
	return nil
}

// label makes a part that holds what it should be seen as one.
func (r *releases) label(ctx context.Context, secret *corev1.Secret) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	secret.Labels[labelGoodPart] = r.agent
	updated, err := r.secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: drift.FieldManager})
	if err != nil {
		return err
	}
	r.vouch(secret.Name, updated.ResourceVersion)
	return nil
}

func (r *releases) delete(ctx context.Context, part string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := r.secrets.Delete(ctx, part, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}

// remove deletes a part that no index names.
func (r *releases) remove(ctx context.Context, part string) error {
	if err := r.delete(ctx, part); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, part)
	return nil
}

// vouch notes a version of a part that holds what was written.
func (r *releases) vouch(part, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.part(part)
	p.sure, p.left, p.doubted = version, nil, false
}

// part is what is known of a part. r.mu is held.
func (r *releases) part(name string) *goodPart {
	if r.parts[name] == nil {
		r.parts[name] = &goodPart{}
	}
	return r.parts[name]
}

// sure reports whether all parts of a release are as they were written, as far as
// watching tells. r.mu is held.
func (r *releases) sure(e goodEntry) bool {
	return !slices.ContainsFunc(e.Parts, func(name string) bool {
		p := r.parts[name]
		return p == nil || p.sure == "" || p.doubted || p.seen.newer(p.sure)
	})
}

// fetch reads the parts of a release; nil are those that are gone.
func (r *releases) fetch(ctx context.Context, parts []string) ([]*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	found := make([]*corev1.Secret, len(parts))
	for i, part := range parts {
		secret, err := r.secrets.Get(ctx, part, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("reading Secret %s/%s: %w", r.namespace, part, err)
		default:
			found[i] = secret
		}
	}
	return found, nil
}

// assemble makes a release of what its parts hold, nil where one is gone. One that
// is not what was written, as a whole, is lost.
func (r *releases) assemble(e goodEntry, parts [][]byte) (drift.Good, error) {
	lost := func(err error) (drift.Good, error) { return drift.Good{}, &drift.Lost{Commit: e.Commit, Err: err} }
	for i, part := range parts {
		if part == nil {
			return lost(fmt.Errorf("the Secret %s/%s is gone", r.namespace, e.Parts[i]))
		}
	}
	content := bytes.Join(parts, nil)
	if e.Content != "" && drift.DigestOf(string(content)) != e.Content {
		return lost(fmt.Errorf("what is in the Secrets %s/%s… is not what was written", r.namespace, e.Parts[0]))
	}
	g, err := drift.DecodeGood(content)
	if err == nil && g.Release.Digest != e.Digest {
		err = errors.New("it is another release than the index says")
	}
	if err != nil {
		return lost(err)
	}
	if e.Environment != nil {
		g.Terms.Environment = *e.Environment
	}
	return g, nil
}

// held is what parts hold.
func held(secrets []*corev1.Secret) [][]byte {
	contents := make([][]byte, len(secrets))
	for i, s := range secrets {
		if s == nil {
			continue
		}
		if contents[i] = s.Data[goodPartKey]; contents[i] == nil {
			contents[i] = []byte{}
		}
	}
	return contents
}

func (r *releases) read(ctx context.Context, e goodEntry) (drift.Good, error) {
	secrets, err := r.fetch(ctx, e.Parts)
	if err != nil {
		return drift.Good{}, err
	}
	return r.assemble(e, held(secrets))
}

// readMended reads a release after it was made whole.
func (r *releases) readMended(ctx context.Context, name string, t environments.Target, e goodEntry) (drift.Good, error) {
	defer r.lock(name)()
	if _, err := r.mend(ctx, t.String(), e); err != nil {
		return drift.Good{}, err
	}
	return r.read(ctx, e)
}
