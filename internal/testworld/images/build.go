// Package images makes small images, signs and attests them as cosign does,
// and forges such signatures, for tests and the demo. All of it ends up in a
// registry; nothing needs a network beyond that, and no transparency log.
package images

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The labels by which an image says where it comes from.
const (
	LabelSource   = "org.opencontainers.image.source"
	LabelRevision = "org.opencontainers.image.revision"
	LabelVersion  = "org.opencontainers.image.version"
	LabelCreated  = "org.opencontainers.image.created"
)

// Spec is what an image holds. The same Spec gives the same digest.
type Spec struct {
	// Content is the text of the only file, /content. Another text is another
	// digest.
	Content string
	// Labels go into the configuration, and into the annotations of an index.
	Labels map[string]string
	// Platforms, such as linux/arm64, make an index of one image each; none
	// makes a single image for linux/amd64.
	Platforms []string
}

// Push builds the image and pushes it under ref, as host/repository:tag, and
// returns what it is called by digest.
func Push(ctx context.Context, ref string, spec Spec, client ...remote.Option) (name.Digest, error) {
	tag, err := name.NewTag(ref)
	if err != nil {
		return name.Digest{}, fmt.Errorf("push image %s: %w", ref, err)
	}
	hash, err := push(tag, spec, with(ctx, client))
	if err != nil {
		return name.Digest{}, fmt.Errorf("push image %s: %w", ref, err)
	}
	return tag.Digest(hash.String()), nil
}

func push(tag name.Tag, spec Spec, client []remote.Option) (v1.Hash, error) {
	if len(spec.Platforms) == 0 {
		image, err := build(spec, v1.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			return v1.Hash{}, err
		}
		if err := remote.Write(tag, image, client...); err != nil {
			return v1.Hash{}, err
		}
		return image.Digest()
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, each := range spec.Platforms {
		platform, err := v1.ParsePlatform(each)
		if err != nil {
			return v1.Hash{}, err
		}
		image, err := build(spec, *platform)
		if err != nil {
			return v1.Hash{}, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	if len(spec.Labels) > 0 {
		index = mutate.Annotations(index, spec.Labels).(v1.ImageIndex)
	}
	if err := remote.WriteIndex(tag, index, client...); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

func build(spec Spec, platform v1.Platform) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive(spec.Content + " for " + platform.String()))), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Config.Labels = maps.Clone(spec.Labels)
	config.Config.Entrypoint = []string{"/content"}
	if created, err := time.Parse(time.RFC3339, spec.Labels[LabelCreated]); err == nil {
		config.Created = v1.Time{Time: created}
	}
	return mutate.ConfigFile(image, config)
}

// archive is a tar of one file; it has no time, so it is always the same.
func archive(content string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	// Writing to memory cannot fail, and the header is valid.
	_ = w.WriteHeader(&tar.Header{Name: "content", Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg})
	_, _ = w.Write([]byte(content))
	_ = w.Close()
	return out.Bytes()
}

func with(ctx context.Context, client []remote.Option) []remote.Option {
	return append(slices.Clone(client), remote.WithContext(ctx))
}
