package registry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// serveReferrers mends two things that the registry library leaves out and
// real registries do: a referrer's artifactType is that of its manifest, and
// the list can be filtered by it.
// github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
func (r *Registry) serveReferrers(w http.ResponseWriter, request *http.Request) {
	answer := newHeld()
	r.store.ServeHTTP(answer, request)
	var list v1.IndexManifest
	if answer.status != http.StatusOK || json.Unmarshal(answer.body.Bytes(), &list) != nil {
		answer.release(w)
		return
	}
	repository, _, _ := strings.Cut(request.URL.Path, "/referrers/")
	for i, referrer := range list.Manifests {
		if declared := r.artifactType(repository, referrer.Digest.String()); declared != "" {
			list.Manifests[i].ArtifactType = declared
		}
	}
	slices.SortFunc(list.Manifests, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	if wanted := request.URL.Query().Get("artifactType"); wanted != "" {
		list.Manifests = slices.DeleteFunc(list.Manifests, func(d v1.Descriptor) bool { return d.ArtifactType != wanted })
		answer.header.Set("OCI-Filters-Applied", "artifactType")
	}
	answer.body.Reset()
	_ = json.NewEncoder(&answer.body).Encode(list)
	answer.header.Set("Content-Length", strconv.Itoa(answer.body.Len()))
	answer.release(w)
}

func (r *Registry) artifactType(repository, digest string) string {
	request, err := http.NewRequest(http.MethodGet, repository+"/manifests/"+digest, nil)
	if err != nil {
		return ""
	}
	answer := newHeld()
	r.store.ServeHTTP(answer, request)
	var manifest struct {
		ArtifactType string `json:"artifactType"`
	}
	_ = json.Unmarshal(answer.body.Bytes(), &manifest) // deleted meanwhile: as listed
	return manifest.ArtifactType
}

// held is an answer not yet sent.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newHeld() *held { return &held{header: http.Header{}} }

func (h *held) Header() http.Header         { return h.header }
func (h *held) Write(p []byte) (int, error) { return h.body.Write(p) }
func (h *held) WriteHeader(status int)      { h.status = status }

func (h *held) release(w http.ResponseWriter) {
	for name, values := range h.header {
		w.Header()[name] = values
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes())
}
