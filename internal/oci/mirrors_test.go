package oci_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// mirrored is a registry with a mirror that keeps its images under hub/.
type mirrored struct {
	t              *testing.T
	origin, mirror *registry.Registry
	clock          *clock
	client         *oci.Client
	image          v1.Image
	tag            name.Tag // at the origin, as is the digest
	digest         name.Digest
}

func newMirrored(t *testing.T, change func(origin *oci.Registry)) *mirrored {
	m := &mirrored{
		t: t, clock: newClock(),
		origin: start(t, registry.Options{Username: "origin-user", Password: "origin-password"}),
		mirror: start(t, registry.Options{Username: "mirror-user", Password: "mirror-password"}),
	}
	m.tag, m.digest, m.image = push(t, m.origin)
	options := oci.Registry{
		Host: m.origin.Host(), PlainHTTP: true, Mirrors: []oci.Mirror{{Host: m.mirror.Host(), Path: "/hub/"}}, Timeout: 5 * time.Second,
	}
	if change != nil {
		change(&options)
	}
	c, err := oci.New(oci.Options{
		Registries: []oci.Registry{options, {Host: m.mirror.Host(), PlainHTTP: true, Timeout: 5 * time.Second}},
		DockerConfig: (&secrets{text: auths(
			m.origin.Host(), "origin-user", "origin-password", m.mirror.Host(), "mirror-user", "mirror-password")}).read,
		Clock: m.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.client = c
	m.forget()
	return m
}

// keep puts an image into the mirror, under any tag.
func (m *mirrored) keep(image v1.Image, tag string) {
	m.t.Helper()
	at, err := name.NewTag(m.mirror.Host() + "/hub/acme/web:" + tag)
	if err == nil {
		err = remote.Write(at, image, m.mirror.Client()...)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.forget()
}

// attach puts an image into the origin, under any tag.
func (m *mirrored) attach(image v1.Image, tag string) name.Tag {
	m.t.Helper()
	at := m.tag.Context().Tag(tag)
	if err := remote.Write(at, image, m.origin.Client()...); err != nil {
		m.t.Fatal(err)
	}
	m.forget()
	return at
}

func (m *mirrored) forget() {
	m.origin.ForgetRequests()
	m.mirror.ForgetRequests()
}

// asked is how often each was asked for anything of a repository.
func (m *mirrored) asked() (origin, mirror int) {
	for _, q := range m.origin.Requests(registry.Match{}) {
		if q.Kind != "" {
			origin++
		}
	}
	for _, q := range m.mirror.Requests(registry.Match{}) {
		if q.Kind != "" {
			mirror++
		}
	}
	return origin, mirror
}

func (m *mirrored) fetches(ref name.Reference, want v1.Image) {
	m.t.Helper()
	digest, err := want.Digest()
	if err != nil {
		m.t.Fatal(err)
	}
	got, err := m.client.Manifest(m.t.Context(), ref)
	if err != nil || got.Digest != digest {
		m.t.Errorf("%s is %s, %v; want %s", ref, got.Digest, err, digest)
	}
}

func another(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestMirrorsAreAskedFirst(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, nil)
	m.keep(m.image, "any")
	m.fetches(m.digest, m.image)
	config, err := m.image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.client.Blob(t.Context(), m.digest.Context().Digest(config.String()), 1<<20); err != nil {
		t.Error(err)
	}
	if origin, mirror := m.asked(); origin != 0 || mirror == 0 {
		t.Errorf("the origin was asked %d times, the mirror %d times", origin, mirror)
	}
	m.forget()
	if _, err := m.client.Origin().Manifest(t.Context(), m.digest); err != nil {
		t.Error(err)
	}
	if origin, mirror := m.asked(); origin == 0 || mirror != 0 {
		t.Errorf("for a second look, the origin was asked %d times, the mirror %d times", origin, mirror)
	}
}

// catalogue 32, 42: whatever a mirror does, the origin decides.
func TestTheOriginHasWhatTheMirrorHasNot(t *testing.T) {
	t.Parallel()
	for because, tt := range map[string]struct {
		fault registry.Fault
		rests bool // a mirror that is down is left alone for a while
	}{
		"nothing there":   {registry.Fault{Times: 1, Status: 404}, false},
		"other bytes":     {registry.Fault{Manifests: [][]byte{[]byte(`{"config":{}}`)}}, false},
		"no access":       {registry.Fault{Status: 403}, false},
		"an outage":       {registry.Fault{Status: 503}, true},
		"too many":        {registry.Fault{Status: 429}, true},
		"an endless body": {registry.Fault{Endless: true}, true},
		"broken off":      {registry.Fault{Drop: true}, true},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			m := newMirrored(t, nil)
			m.keep(m.image, "any")
			heal := m.mirror.Fail(registry.Match{}, tt.fault)
			m.fetches(m.digest, m.image)
			m.forget()
			m.fetches(m.digest, m.image)
			if n := len(m.mirror.Requests(registry.Match{})); tt.rests != (n == 0) {
				t.Errorf("the mirror was asked %d times after that", n)
			}
			heal()
			m.clock.advance(time.Minute)
			m.forget()
			m.fetches(m.digest, m.image)
			if origin, mirror := m.asked(); origin != 0 || mirror == 0 {
				t.Errorf("healed, the origin was asked %d times, the mirror %d times", origin, mirror)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		m := newMirrored(t, nil)
		m.mirror.Fail(registry.Match{}, registry.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := m.client.Manifest(ctx, m.digest); err != nil {
			t.Errorf("the mirror leaves the origin no time: %v", err)
		}
	})
	t.Run("nobody has it", func(t *testing.T) {
		t.Parallel()
		m := newMirrored(t, nil)
		m.mirror.Fail(registry.Match{}, registry.Fault{Status: 403})
		_, err := m.client.Manifest(t.Context(), m.digest.Context().Digest("sha256:"+strings.Repeat("0", 64)))
		fails(t, err, m.origin.Host()+"/acme/web@", "registry "+m.origin.Host()+" answered 404", "its mirror "+m.mirror.Host()+" answered 403")
		if !errors.Is(err, oci.ErrNotFound) {
			t.Errorf("%v is no absence", err)
		}
	})
	t.Run("the origin is away", func(t *testing.T) {
		t.Parallel()
		m := newMirrored(t, nil)
		m.origin.Fail(registry.Match{}, registry.Fault{Status: 503})
		_, err := m.client.Manifest(t.Context(), m.digest)
		fails(t, err, "answered 503")
		if errors.Is(err, oci.ErrNotFound) {
			t.Errorf("%v is an absence, though only the mirror knows of none", err)
		}
	})
}

// A tag of the mirror's may be old, or chosen by whoever runs it.
func TestWhatATagMeansTheOriginSays(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, nil)
	m.keep(another(t), "main")
	m.fetches(m.tag, m.image)
	if claim, err := m.client.Claim(t.Context(), m.tag); err != nil || claim.String() != m.digest.DigestStr() {
		t.Errorf("%s, %v", claim, err)
	}
	if tags, err := m.client.Tags(t.Context(), m.tag.Context()); err != nil || fmt.Sprint(tags) != "[main]" {
		t.Errorf("%v, %v", tags, err)
	}
	if _, mirror := m.asked(); mirror != 0 {
		t.Errorf("the mirror was asked %d times", mirror)
	}
}

func TestSignaturesOfTheMirrorCount(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, nil)
	at := strings.Replace(m.digest.DigestStr(), ":", "-", 1)
	here, there := another(t), another(t)
	sig := m.attach(here, at+".sig")
	m.fetches(sig, here) // the mirror has none
	if _, mirror := m.asked(); mirror == 0 {
		t.Error("the mirror was not asked for signatures")
	}
	m.keep(there, at+".sig")
	m.fetches(sig, there)
	if got, err := m.client.Origin().Manifest(t.Context(), sig); err != nil || got.Digest != digestOf(t, here) {
		t.Errorf("the second look is %v, %v", got.Digest, err)
	}
	if _, err := m.client.Manifest(t.Context(), m.tag.Context().Tag(at+".att")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("what nobody has: %v", err)
	}
}

func TestReferrersOfTheOriginCountWhereTheMirrorHasNone(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, nil)
	m.keep(m.image, "any")
	// By the fallback tag, which registries without the API have.
	list, err := m.client.Referrers(t.Context(), m.digest)
	if err != nil || len(list) != 0 {
		t.Errorf("nobody has any: %v, %v", list, err)
	}
	if origin, mirror := m.asked(); origin == 0 || mirror == 0 {
		t.Errorf("the origin was asked %d times, the mirror %d times", origin, mirror)
	}
	m.origin.Fail(registry.Match{}, registry.Fault{Status: 503})
	if list, err := m.client.Referrers(t.Context(), m.digest); err == nil {
		t.Errorf("%v, though the origin could not be asked", list)
	}
}

// A cluster that reaches the mirror alone.
func TestACompleteMirrorIsAllThereIs(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, func(o *oci.Registry) { o.Mirrors[0].Complete = true })
	image := another(t)
	m.keep(image, "main")
	m.fetches(m.tag, image)
	if _, err := m.client.Manifest(t.Context(), m.tag.Context().Tag("none")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a tag that it has not: %v", err)
	}
	if _, err := m.client.Manifest(t.Context(), m.digest); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("a digest that it has not: %v", err)
	}
	if list, err := m.client.Referrers(t.Context(), m.digest.Context().Digest(digestOf(t, image).String())); err != nil || len(list) != 0 {
		t.Errorf("no referrers: %v, %v", list, err)
	}
	if got, err := m.client.Origin().Manifest(t.Context(), m.tag); err != nil || got.Digest != digestOf(t, image) {
		t.Errorf("the second look: %v, %v", got.Digest, err)
	}
	if origin, _ := m.asked(); origin != 0 {
		t.Errorf("the origin was asked %d times", origin)
	}
}

// catalogue 43: neither sees the credentials of the other, whatever it answers.
func TestCredentialsOfMirrorAndOriginStayApart(t *testing.T) {
	t.Parallel()
	m := newMirrored(t, nil)
	m.keep(m.image, "any")
	config, err := m.image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	blob := m.digest.Context().Digest(config.String())
	for because, do := range map[string]func(){
		"as it should be": func() {},
		"the mirror sends to the origin": func() {
			m.mirror.Fail(registry.Match{Kind: registry.Blobs}, registry.Fault{Redirect: m.origin.URL() + "/v2/acme/web/blobs/" + config.String()})
		},
		"the origin sends to the mirror": func() {
			m.mirror.Fail(registry.Match{Kind: registry.Manifests}, registry.Fault{Status: 404})
			m.origin.Fail(registry.Match{}, registry.Fault{Redirect: m.mirror.URL() + "/v2/"})
		},
	} {
		do()
		_, _ = m.client.Blob(t.Context(), blob, 1<<20)
		_, _ = m.client.Manifest(t.Context(), m.digest)
		_, _ = m.client.Manifest(t.Context(), m.tag)
		for who, r := range map[string]*registry.Registry{"mirror": m.mirror, "origin": m.origin} {
			for _, q := range r.Requests(registry.Match{}) {
				if q.Authorization != "" && q.Authorization != basic(who+"-user", who+"-password") {
					t.Errorf("%s: the %s was sent %q", because, who, q.Authorization)
				}
			}
		}
	}
}

func TestMirrorsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for because, tt := range map[string]struct {
		mirror oci.Mirror
		want   string
	}{
		"no host":               {oci.Mirror{}, `mirrors[0] "": is no registry's name`},
		"an URL":                {oci.Mirror{Host: "https://mirror.io"}, "is no registry's name"},
		"the registry itself":   {oci.Mirror{Host: "ghcr.io"}, "is the registry itself"},
		"a path that leads out": {oci.Mirror{Host: "mirror.io", Path: "../x"}, "a part that is"},
		"a path of rubbish":     {oci.Mirror{Host: "mirror.io", Path: "a b"}, "repository can only contain"},
	} {
		_, err := oci.NewClient(oci.Registry{Host: "ghcr.io", Mirrors: []oci.Mirror{tt.mirror}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", because, err)
		}
	}
}

func digestOf(t *testing.T, image v1.Image) v1.Hash {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}
