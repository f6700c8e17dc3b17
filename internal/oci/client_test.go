package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

func start(t testing.TB, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func client(t testing.TB, registries ...oci.Registry) *oci.Client {
	t.Helper()
	c, err := oci.NewClient(registries...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// push stores a random image under acme/web:main.
func push(t testing.TB, r *registry.Registry) (tag name.Tag, digest name.Digest, image v1.Image) {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err = name.NewTag(r.Host() + "/acme/web:main")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, r.Client()...); err != nil {
		t.Fatal(err)
	}
	h, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return tag, tag.Context().Digest(h.String()), image
}

func fails(t *testing.T, err error, wanted ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range wanted {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got  %v\nwant %s", err, w)
		}
	}
}

func TestDigestsAreOfTheBytes(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
	tag, digest, image := push(t, r)
	other, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	lie, err := other.RawManifest()
	if err != nil {
		t.Fatal(err)
	}

	t.Run("of a tag, whatever the header claims", func(t *testing.T) { // catalogue 32
		heal := r.Fail(registry.Match{Kind: registry.Manifests, Reference: "main"}, registry.Fault{Digest: "sha256:" + strings.Repeat("0", 64)})
		defer heal()
		m, err := c.Manifest(t.Context(), tag)
		if err != nil || m.Digest.String() != digest.DigestStr() {
			t.Errorf("got %s, %v, want %s", m.Digest, err, digest.DigestStr())
		}
	})
	t.Run("of a digest, or nothing", func(t *testing.T) { // catalogue 32
		heal := r.Fail(registry.Match{Kind: registry.Manifests, Reference: digest.DigestStr()}, registry.Fault{Manifests: [][]byte{lie}, Digest: digest.DigestStr()})
		defer heal()
		_, err := c.Manifest(t.Context(), digest)
		fails(t, err, "serves other bytes under this digest")
		if !errors.Is(err, oci.ErrInvalid) {
			t.Errorf("%v is no ErrInvalid", err)
		}
	})
	t.Run("also for the old media type whose header the library believes", func(t *testing.T) { // catalogue 32
		old := []byte(`{"schemaVersion":1,"mediaType":"` + string(types.DockerManifestSchema1Signed) + `","fsLayers":[]}`)
		heal := r.Fail(registry.Match{Kind: registry.Manifests, Reference: digest.DigestStr()}, registry.Fault{Manifests: [][]byte{old}, Digest: digest.DigestStr()})
		defer heal()
		_, err := c.Manifest(t.Context(), digest)
		fails(t, err, "serves other bytes under this digest")
	})
	t.Run("of a blob", func(t *testing.T) {
		config, err := image.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		blob := digest.Context().Digest(config.String())
		if _, err := c.Blob(t.Context(), blob, 1<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Blob(t.Context(), blob, 10); !errors.Is(err, oci.ErrInvalid) {
			t.Errorf("a blob above the limit: %v", err)
		}
		raw, err := image.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		heal := r.Fail(registry.Match{Kind: registry.Blobs}, registry.Fault{Manifests: [][]byte{bytes.ToUpper(raw)}})
		defer heal()
		_, err = c.Blob(t.Context(), blob, 1<<20)
		fails(t, err, "is not what its digest says")
		if !errors.Is(err, oci.ErrInvalid) {
			t.Errorf("%v is no ErrInvalid", err)
		}
	})
}

func TestAbsenceIsNoOutage(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
	tag, _, _ := push(t, r)
	for _, missing := range []name.Reference{tag.Context().Tag("none"), tag.Context().Digest("sha256:" + strings.Repeat("0", 64))} {
		if _, err := c.Manifest(t.Context(), missing); !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("%s: %v", missing, err)
		}
	}
}

// catalogue 42
func TestOutagesEndAndSayWhatHappened(t *testing.T) {
	t.Parallel()
	for because, tt := range map[string]struct {
		fault registry.Fault
		want  string
	}{
		"500":               {registry.Fault{Status: 500}, "answered 500 Internal Server Error"},
		"503":               {registry.Fault{Status: 503}, "answered 503 Service Unavailable: a fault was asked for"},
		"429":               {registry.Fault{Status: 429, RetryAfter: 3600}, "answered 429 Too Many Requests"},
		"403":               {registry.Fault{Status: 403}, "check the credentials"},
		"no answer":         {registry.Fault{Hang: true}, "did not answer in time"},
		"a slow drip":       {registry.Fault{Drip: true}, "did not answer in time"},
		"an endless answer": {registry.Fault{Endless: true}, "sends without end"},
		"a cut connection":  {registry.Fault{Drop: true}, "broke off its answer"},
		"half an answer":    {registry.Fault{TruncateAfter: 20}, "broke off its answer"},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			r := start(t, registry.Options{})
			wait := 5 * time.Second
			if tt.fault.Hang || tt.fault.Drip {
				wait = 100 * time.Millisecond // what is waited for is that it ends
			}
			// The caller sets no deadline.
			c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true, Timeout: wait})
			tag, _, _ := push(t, r)
			r.Fail(registry.Match{Kind: registry.Manifests}, tt.fault)
			_, err := c.Manifest(t.Context(), tag)
			fails(t, err, "fetch the manifest of "+tag.Name(), "registry "+r.Host(), tt.want)
			if errors.Is(err, oci.ErrNotFound) || errors.Is(err, oci.ErrInvalid) {
				t.Errorf("%v is no outage", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		r := start(t, registry.Options{})
		tag, _, _ := push(t, r)
		_ = r.Close()
		c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
		_, err := c.Manifest(t.Context(), tag)
		fails(t, err, "connection refused")
	})
}

func TestABlipIsNotSeen(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
	tag, digest, _ := push(t, r)
	r.Fail(registry.Match{Kind: registry.Manifests}, registry.Fault{Status: 502, Times: 1})
	if m, err := c.Manifest(t.Context(), tag); err != nil || m.Digest.String() != digest.DigestStr() {
		t.Errorf("%v, %v", m.Digest, err)
	}
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	const password = "s3cret-registry-token"
	r := start(t, registry.Options{Username: "robot", Password: password})
	tag, digest, _ := push(t, r)
	with := func(password string) oci.Registry {
		return oci.Registry{Host: r.Host(), PlainHTTP: true, Credentials: func(context.Context) (oci.Credentials, error) {
			return oci.Credentials{Username: "robot", Password: password}, nil
		}}
	}
	m, err := client(t, with(password)).Manifest(t.Context(), tag)
	if err != nil || m.Digest.String() != digest.DigestStr() {
		t.Errorf("with credentials: %v", err)
	}
	_, err = client(t, with("wrong-password")).Manifest(t.Context(), tag)
	fails(t, err, "answered 401 Unauthorized", "check the credentials")
	_, err = client(t, oci.Registry{Host: r.Host(), PlainHTTP: true}).Manifest(t.Context(), tag)
	fails(t, err, "answered 401 Unauthorized")
	broken := oci.Registry{Host: r.Host(), PlainHTTP: true, Credentials: func(context.Context) (oci.Credentials, error) {
		return oci.Credentials{}, errors.New("the file is gone")
	}}
	_, err = client(t, broken).Manifest(t.Context(), tag)
	fails(t, err, "the file is gone")

	t.Run("credentials may change while it runs", func(t *testing.T) {
		now := "wrong-password"
		c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true, Credentials: func(context.Context) (oci.Credentials, error) {
			return oci.Credentials{Username: "robot", Password: now}, nil
		}})
		if _, err := c.Manifest(t.Context(), tag); err == nil {
			t.Fatal("signed in with a wrong password")
		}
		now = password
		if _, err := c.Manifest(t.Context(), tag); err != nil {
			t.Error(err)
		}
	})
}

func TestCredentialsStayOutOfTexts(t *testing.T) {
	t.Parallel()
	const password = "s3cret-registry-token"
	// A registry that repeats what it was told, in its refusal.
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, given, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{
			{"code": "DENIED", "message": "not with " + given + " or " + r.Header.Get("Authorization")},
		}})
	}))
	t.Cleanup(echo.Close)
	host := strings.TrimPrefix(echo.URL, "http://")
	credentials := oci.Credentials{Username: "robot", Password: password}
	c := client(t, oci.Registry{Host: host, PlainHTTP: true, Credentials: func(context.Context) (oci.Credentials, error) { return credentials, nil }})
	repo, err := c.Repository(host + "/acme/web")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Manifest(t.Context(), repo.Tag("main"))
	fails(t, err, "not with [redacted] or Basic [redacted]")
	js, _ := json.Marshal(credentials)
	for e := err; e != nil; e = errors.Unwrap(e) {
		js = fmt.Appendf(js, " %v %+v %#v", e, e, e)
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %x ", credentials, credentials, &credentials, credentials, credentials, credentials) + string(js)
	for _, secret := range []string{password, "cm9ib3Q6"} {
		if strings.Contains(text, secret) {
			t.Errorf("a credential is in a text: %s", text)
		}
	}
}

func TestPlainHTTPOnlyWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	plain := start(t, registry.Options{Username: "robot", Password: "s3cret"})
	tag, _, _ := push(t, plain)
	c := client(t, oci.Registry{Host: plain.Host(), Credentials: func(context.Context) (oci.Credentials, error) {
		return oci.Credentials{Username: "robot", Password: "s3cret"}, nil
	}})
	plain.ForgetRequests()
	_, err := c.Manifest(t.Context(), tag)
	fails(t, err, "plain HTTP is not allowed")
	if len(plain.Requests(registry.Match{})) > 0 {
		t.Error("it was asked in the clear")
	}
	_, err = client(t).Manifest(t.Context(), tag) // nor one that is not configured
	fails(t, err, "plain HTTP is not allowed")
}

func TestACertificateAuthorityOfOnesOwn(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{TLS: true})
	tag, digest, _ := push(t, r)
	m, err := client(t, oci.Registry{Host: r.Host(), CA: r.CA()}).Manifest(t.Context(), tag)
	if err != nil || m.Digest.String() != digest.DigestStr() {
		t.Errorf("with its authority: %v", err)
	}
	_, err = client(t, oci.Registry{Host: r.Host()}).Manifest(t.Context(), tag)
	fails(t, err, "certificate")
}

func TestWhatAManifestIs(t *testing.T) {
	t.Parallel()
	const oci1, list = types.OCIManifestSchema1, types.OCIImageIndex
	for because, tt := range map[string]struct {
		mediaType types.MediaType
		body      string
		want      oci.Kind
		problem   string
	}{
		"an image":                              {oci1, `{"config":{},"layers":[]}`, oci.Image, ""},
		"an index":                              {list, `{"manifests":[]}`, oci.Index, ""},
		"both":                                  {oci1, `{"config":{},"layers":[],"manifests":[]}`, "", "ambiguous"}, // catalogue 47
		"an index that is served as one":        {oci1, `{"manifests":[]}`, "", "neither"},
		"says something else than the registry": {oci1, `{"mediaType":"application/vnd.oci.image.index.v1+json","config":{}}`, "", "calls itself"},
		"an image that is served as an index":   {list, `{"config":{},"layers":[]}`, "", "neither"}, // catalogue 47
		"of the first schema":                   {types.DockerManifestSchema1Signed, `{"fsLayers":[]}`, "", "ambiguous"},
		"no JSON":                               {oci1, `<html>`, "", "not JSON"},
		"nothing":                               {oci1, `{}`, "", "neither"},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			kind, err := oci.Manifest{MediaType: tt.mediaType, Bytes: []byte(tt.body)}.Kind()
			if kind != tt.want || (tt.problem == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("got %q, %v", kind, err)
			}
		})
	}
}

func TestOptionsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	_, err := oci.NewClient(
		oci.Registry{Host: "ghcr.io"}, oci.Registry{Host: "ghcr.io"},
		oci.Registry{Host: "quay.io", CA: []byte("rubbish")},
		oci.Registry{Host: "a.b", PlainHTTP: true, CA: []byte("x")},
		oci.Registry{Host: "https://ghcr.io"},
	)
	fails(t, err, `registries[1] "ghcr.io": is listed twice`, `registries[2] "quay.io": its certificate authority`, `registries[3] "a.b": has a certificate authority and plain HTTP`, `registries[4] "https://ghcr.io": is no registry's name`)
}

// Bills of materials may be larger than what any other answer may be.
func TestABlobIsReadUpToItsLimit(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{})
	c := client(t, oci.Registry{Host: r.Host(), PlainHTTP: true})
	large := static.NewLayer(bytes.Repeat([]byte("x"), 9<<20), "application/x")
	repo := repository(t, c, r.Host()+"/acme/web")
	if err := remote.WriteLayer(repo, large); err != nil {
		t.Fatal(err)
	}
	digest, err := large.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref := repo.Digest(digest.String())
	for limit, fits := range map[int64]bool{9 << 20: true, 10 << 20: true, 9<<20 - 1: false, 1 << 20: false} {
		b, err := c.Blob(t.Context(), ref, limit)
		if fits != (err == nil) || fits && len(b) != 9<<20 || !fits && !errors.Is(err, oci.ErrInvalid) {
			t.Errorf("up to %d: %d bytes, %v", limit, len(b), err)
		}
	}
	r.Fail(registry.Match{Kind: registry.Blobs}, registry.Fault{Endless: true}) // catalogue 42
	_, err = c.Blob(t.Context(), ref, 10<<20)
	fails(t, err, "serves more than the 10485760 bytes that are read")
}
