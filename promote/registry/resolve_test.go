package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	testregistry "github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/promote/registry"
)

func start(t *testing.T) (*testregistry.Registry, *registry.Resolver) {
	t.Helper()
	r, err := testregistry.Start(t.Context(), testregistry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	client, err := oci.NewClient(oci.Registry{Host: r.Host(), PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	return r, registry.New(client)
}

func push(t *testing.T, r *testregistry.Registry, tag string, spec images.Spec) name.Digest {
	t.Helper()
	if spec.Content == "" {
		spec.Content = tag
	}
	d, err := images.Push(t.Context(), r.Host()+"/acme/web:"+tag, spec, r.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestATagIsFollowedAsItMoves(t *testing.T) {
	t.Parallel()
	r, resolver := start(t)
	resolve := func() promote.Found {
		t.Helper()
		found, err := resolver.Resolve(t.Context(), r.Host()+"/acme/web", environments.Track{Tag: "main"})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, content := range []string{"one", "two", "one"} {
		want := push(t, r, "main", images.Spec{Content: content}).DigestStr()
		for range 2 {
			if got := resolve(); got != (promote.Found{Digest: want, Tag: "main"}) {
				t.Errorf("main is %s: got %+v, want %s", content, got, want)
			}
		}
	}
	t.Run("and while it rests, costs no pull", func(t *testing.T) {
		r.ForgetRequests()
		resolve()
		requests := r.Requests(testregistry.Match{})
		if len(requests) != 1 || requests[0].Method != "HEAD" {
			t.Errorf("requests %+v", requests)
		}
	})
	t.Run("an index is resolved to itself", func(t *testing.T) {
		want := push(t, r, "main", images.Spec{Platforms: []string{"linux/amd64", "linux/arm64"}}).DigestStr()
		if got := resolve(); got.Digest != want {
			t.Errorf("got %s, want %s", got.Digest, want)
		}
	})
}

// catalogue 32
func TestDigestsAreOfTheBytesWhateverHeadersSay(t *testing.T) {
	t.Parallel()
	r, resolver := start(t)
	want := push(t, r, "main", images.Spec{}).DigestStr()
	r.Fail(testregistry.Match{Kind: testregistry.Manifests, Reference: "main"}, testregistry.Fault{Digest: "sha256:" + strings.Repeat("0", 64)})
	for range 2 { // the second time the claim is asked for first
		found, err := resolver.Resolve(t.Context(), r.Host()+"/acme/web", environments.Track{Tag: "main"})
		if err != nil || found.Digest != want {
			t.Errorf("got %+v, %v, want %s", found, err, want)
		}
	}
}

// catalogue 47
func TestATagThatCanBeReadTwoWaysIsNotFollowed(t *testing.T) {
	t.Parallel()
	r, resolver := start(t)
	push(t, r, "main", images.Spec{})
	both := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[],"manifests":[]}`)
	r.Fail(testregistry.Match{Kind: testregistry.Manifests}, testregistry.Fault{Manifests: [][]byte{both}})
	_, err := resolver.Resolve(t.Context(), r.Host()+"/acme/web", environments.Track{Tag: "main"})
	if err == nil || !strings.Contains(err.Error(), "is ambiguous") {
		t.Errorf("got %v", err)
	}
}

func TestTheHighestVersionInTheRangeIsChosen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		because string
		tags    []string
		semver  string
		want    string // tag, or part of the error
	}{
		{"the highest", []string{"1.4.0", "1.10.0", "1.9.0"}, ">=1.4 <2", "1.10.0"},
		{"but not beyond the range", []string{"1.4.0", "2.0.0"}, ">=1.4 <2", "1.4.0"},
		{"with a v", []string{"v1.4.0", "v1.5.0"}, "^1.4", "v1.5.0"},
		{"not a tag that moves", []string{"1.4.0", "1", "1.9", "latest", "main", "20261120", "sha256-aa.sig"}, ">=1", "1.4.0"},
		{"not a preview", []string{"1.4.0", "1.5.0-rc.1"}, ">=1.4", "1.4.0"},
		{"unless it is asked for", []string{"1.4.0", "1.5.0-rc.1"}, ">=1.4-0", "1.5.0-rc.1"},
		{"nothing in the range", []string{"1.4.0", "main"}, ">=2", `none of its 2 tags (1 of them are versions) is in the range ">=2"`},
		{"no range", []string{"1.4.0"}, "newest", `"newest" is no semver range; write it as in ">=1.4 <2"`},
	}
	for _, tt := range tests {
		t.Run(tt.because, func(t *testing.T) {
			t.Parallel()
			r, resolver := start(t)
			digests := map[string]string{}
			for _, tag := range tt.tags {
				digests[tag] = push(t, r, tag, images.Spec{}).DigestStr()
			}
			found, err := resolver.Resolve(t.Context(), r.Host()+"/acme/web", environments.Track{Semver: tt.semver})
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if found != (promote.Found{Tag: tt.want, Digest: digests[tt.want]}) {
				t.Errorf("got %+v, want %s", found, tt.want)
			}
		})
	}
}

func TestWhatCannotBeResolvedSaysWhy(t *testing.T) {
	t.Parallel()
	r, resolver := start(t)
	push(t, r, "main", images.Spec{})
	push(t, r, "down", images.Spec{})
	r.Fail(testregistry.Match{Kind: testregistry.Manifests, Reference: "down"}, testregistry.Fault{Status: 503})
	web := r.Host() + "/acme/web"
	for because, tt := range map[string]struct {
		repository string
		track      environments.Track
		want       string
	}{
		"no such tag":        {web, environments.Track{Tag: "mian"}, `there is no tag "mian"; push it, or correct the track in pawl.yaml`},
		"no such repository": {r.Host() + "/acme/none", environments.Track{Semver: "*"}, "answered 404"},
		"a registry outage":  {web, environments.Track{Tag: "down"}, "answered 503 Service Unavailable"},
		"no tag at all":      {web, environments.Track{}, "has neither a tag nor a semver range"},
		"both":               {web, environments.Track{Tag: "main", Semver: "*"}, "choose one"},
		"a digest for a tag": {web, environments.Track{Tag: "main@sha256:00"}, `"main@sha256:00" cannot be a tag`},
		"a path for a tag":   {web, environments.Track{Tag: "../../evil/manifests/main"}, "cannot be a tag"},
		"no repository":      {"GHCR.io/Acme", environments.Track{Tag: "main"}, "is no repository"},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			found, err := resolver.Resolve(t.Context(), tt.repository, tt.track)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.repository) || found != (promote.Found{}) {
				t.Errorf("got %+v, %v\nwant %s", found, err, tt.want)
			}
			if absent := errors.Is(err, oci.ErrNotFound); absent != strings.HasPrefix(because, "no such") {
				t.Errorf("absent: %v, of %v", absent, err)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	r, resolver := start(t)
	labels := map[string]string{
		images.LabelVersion: "1.9.0", images.LabelRevision: "77be1c2", images.LabelSource: "https://github.com/acme/web", images.LabelCreated: "2026-11-20T14:02:00Z",
	}
	full := registry.Labels{Version: "1.9.0", Revision: "77be1c2", Source: "https://github.com/acme/web", Created: time.Date(2026, 11, 20, 14, 2, 0, 0, time.UTC)}
	for because, tt := range map[string]struct {
		spec images.Spec
		want registry.Labels
	}{
		"an image":     {images.Spec{Labels: labels}, full},
		"an index":     {images.Spec{Labels: labels, Platforms: []string{"linux/amd64", "linux/arm64"}}, full},
		"without any":  {images.Spec{}, registry.Labels{}},
		"hostile ones": {images.Spec{Labels: map[string]string{images.LabelVersion: "1\n2", images.LabelRevision: strings.Repeat("a", 1000), images.LabelSource: "javascript:alert(1)", images.LabelCreated: "yesterday"}}, registry.Labels{}},
		"a secret URL": {images.Spec{Labels: map[string]string{images.LabelSource: "https://robot:token@github.com/acme/web"}}, registry.Labels{}},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			tt.spec.Content = because
			d, err := images.Push(t.Context(), r.Host()+"/acme/"+fmt.Sprintf("image-%d", len(because))+":x", tt.spec, r.Client()...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := resolver.Describe(t.Context(), d.Context().Name()+"@"+d.DigestStr())
			if err != nil || got != tt.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"", r.Host() + "/acme/web:main", r.Host() + "/acme/web@sha256:" + strings.Repeat("0", 64)} {
		if _, err := resolver.Describe(t.Context(), bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
