package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Manifest is a manifest as the registry served it.
type Manifest struct {
	// Digest is computed from Bytes, whatever the registry's headers say.
	Digest    v1.Hash
	MediaType types.MediaType
	Bytes     []byte
}

// Kind is what a manifest is.
type Kind string

const (
	Image Kind = "image"
	Index Kind = "index"
)

// Kind tells what the manifest is. One that could be read as both is an error:
// a client that reads it the other way would run something else.
func (m Manifest) Kind() (Kind, error) {
	var f struct {
		MediaType types.MediaType `json:"mediaType"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
		FSLayers  json.RawMessage `json:"fsLayers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(m.Bytes, &f); err != nil {
		return "", errors.New("is no manifest: not JSON")
	}
	if f.MediaType != "" && f.MediaType != m.MediaType {
		return "", fmt.Errorf("is ambiguous: served as %q, and calls itself %q", m.MediaType, f.MediaType)
	}
	image, index := f.Config != nil || f.Layers != nil, f.Manifests != nil
	switch {
	case f.FSLayers != nil || image && index:
		return "", errors.New("is ambiguous: it can be read as an image and as an index")
	case image && slices.Contains([]types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2}, m.MediaType):
		return Image, nil
	case index && slices.Contains([]types.MediaType{types.OCIImageIndex, types.DockerManifestList}, m.MediaType):
		return Index, nil
	}
	return "", fmt.Errorf("is neither an image nor an index (%q)", m.MediaType)
}
