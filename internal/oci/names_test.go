package oci_test

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// catalogue 44
func TestNamesOfRepositories(t *testing.T) {
	t.Parallel()
	c := client(t)
	for s, want := range map[string]string{
		"nginx":                         "index.docker.io/library/nginx",
		"docker.io/nginx":               "index.docker.io/library/nginx",
		"index.docker.io/library/nginx": "index.docker.io/library/nginx",
		"ghcr.io/acme/web":              "ghcr.io/acme/web",
		"ghcr.io.evil.com/acme/web":     "ghcr.io.evil.com/acme/web", // another host, and stays one
		"registry.acme.com:5000/web":    "registry.acme.com:5000/web",
		"xn--ghr-6na.io/acme/web":       "xn--ghr-6na.io/acme/web",
		"GHCR.io/acme/web":              "",
		"ghcr.io./acme/web":             "",
		"ghcr.io.:443/acme/web":         "",
		"ghćr.io/acme/web":              "",
		"ghcr.io/../evil/web":           "",
		"ghcr.io/acme/./web":            "",
		"ghcr.io/acme//web":             "",
		"ghcr.io/acme/web/":             "",
		"ghcr.io/Acme/web":              "",
		"https://ghcr.io/acme/web":      "",
		"user@ghcr.io/acme/web":         "",
		"":                              "",
	} {
		repo, err := c.Repository(s)
		if want == "" && err == nil || want != "" && (err != nil || repo.Name() != want) {
			t.Errorf("%q: got %q, %v; want %q", s, repo, err, want)
		}
	}
	// Nor are those asked that were parsed elsewhere.
	repo, err := name.NewRepository("GHCR.io/acme/web")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Manifest(t.Context(), repo.Tag("main"))
	fails(t, err, "was not asked", "capital letters")
}

// catalogue 47
func TestADigestMayBeSHA512(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
	body := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}`)
	sum := sha512.Sum512(body)
	right := "sha512:" + hex.EncodeToString(sum[:])
	r.Fail(registry.Match{Kind: registry.Manifests}, registry.Fault{Manifests: [][]byte{body}})
	repo := repository(t, c, r.Host()+"/acme/web")
	m, err := c.Manifest(t.Context(), repo.Digest(right))
	if err != nil || m.Digest.String() != right {
		t.Errorf("%s, %v", m.Digest, err)
	}
	_, err = c.Manifest(t.Context(), repo.Digest("sha512:"+strings.Repeat("0", 128)))
	fails(t, err, "serves other bytes under this digest")
	_, err = c.Manifest(t.Context(), repo.Digest("md5:"+strings.Repeat("0", 32)))
	fails(t, err, "the digest is none")
}
