package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pawl-dev/pawl/internal/oci"
)

// Labels are what an image says about itself, by the OCI annotations and
// labels that build tools write. They are the text of whoever built it: good
// to read, never to decide by. What is missing or unusable is empty.
type Labels struct {
	Version  string    // "1.9.0"
	Revision string    // the commit it was built from
	Source   string    // an http(s) URL
	Created  time.Time // zero if unknown
}

const (
	labelPrefix = "org.opencontainers.image."
	maxLabel    = 256
	maxConfig   = 4 << 20
)

// Describe reads the labels of a pinned image. They are a courtesy to readers:
// an error is no reason to stop.
func (r *Resolver) Describe(ctx context.Context, pinned string) (Labels, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	parsed, err := name.NewDigest(pinned)
	if err != nil {
		return Labels{}, fmt.Errorf("describe %q: %w", pinned, err)
	}
	repo, err := r.client.Repository(parsed.Context().Name())
	if err != nil {
		return Labels{}, fmt.Errorf("describe %q: %w", pinned, err)
	}
	said, err := r.said(ctx, repo.Digest(parsed.DigestStr()))
	if err != nil {
		return Labels{}, fmt.Errorf("describe %s: %w", pinned, err)
	}
	return readLabels(said), nil
}

// said collects annotations and labels, those of the outermost manifest first.
// Of an index one image speaks for all: the first that is for a platform.
func (r *Resolver) said(ctx context.Context, ref name.Digest) ([]map[string]string, error) {
	var said []map[string]string
	for range 2 {
		m, err := r.client.Manifest(ctx, ref)
		if err != nil {
			return nil, err
		}
		kind, err := m.Kind()
		if err != nil {
			return nil, fmt.Errorf("it %w", err)
		}
		if kind == oci.Image {
			var image v1.Manifest
			if err := json.Unmarshal(m.Bytes, &image); err != nil {
				return nil, fmt.Errorf("read its manifest: %w", err)
			}
			labels, err := r.configLabels(ctx, ref, image.Config)
			return append(said, image.Annotations, labels), err
		}
		var index v1.IndexManifest
		if err := json.Unmarshal(m.Bytes, &index); err != nil {
			return nil, fmt.Errorf("read its index: %w", err)
		}
		said = append(said, index.Annotations)
		next, ok := firstPlatform(index)
		if !ok {
			return said, nil
		}
		ref = ref.Context().Digest(next.String())
	}
	return said, nil
}

func firstPlatform(index v1.IndexManifest) (v1.Hash, bool) {
	for _, d := range index.Manifests {
		// Build tools list attestations as a platform "unknown".
		if d.MediaType.IsImage() && (d.Platform == nil || d.Platform.OS != "unknown") {
			return d.Digest, true
		}
	}
	return v1.Hash{}, false
}

func (r *Resolver) configLabels(ctx context.Context, ref name.Digest, config v1.Descriptor) (map[string]string, error) {
	raw, err := r.client.Blob(ctx, ref.Context().Digest(config.Digest.String()), maxConfig)
	if err != nil {
		return nil, err
	}
	var c struct {
		Config struct{ Labels map[string]string } `json:"config"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("read its configuration: %w", err)
	}
	return c.Config.Labels, nil
}

func readLabels(said []map[string]string) Labels {
	get := func(label string) string {
		for _, m := range said {
			if v := m[labelPrefix+label]; v != "" && len(v) <= maxLabel && strings.IndexFunc(v, unprintable) < 0 {
				return v
			}
		}
		return ""
	}
	l := Labels{Version: get("version"), Revision: get("revision")}
	if u, err := url.Parse(get("source")); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil {
		l.Source = u.String()
	}
	if t, err := time.Parse(time.RFC3339, get("created")); err == nil {
		l.Created = t
	}
	return l
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
