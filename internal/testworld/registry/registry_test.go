package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func start(t *testing.T, options Options) *Registry {
	t.Helper()
	r, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// push pushes a random image as team/app:tag.
func push(t *testing.T, r *Registry, tag string) (v1.Image, name.Digest) {
	t.Helper()
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewTag(r.Host() + "/team/app:" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, r.Client()...); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return image, ref.Digest(digest.String())
}

// get asks once, without a client library that tries again.
func get(ctx context.Context, url string) (status int, header http.Header, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, "", err
	}
	transport := &http.Transport{DisableKeepAlives: true} // a kept connection that breaks would be tried again
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(text), err
}

func TestRequestsAreLogged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	r := start(t, Options{Clock: func() time.Time { return now }})
	_, digest := push(t, r, "1")
	r.ForgetRequests()
	if _, err := remote.Get(digest); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(digest.Context().Tag("none")); err == nil {
		t.Fatal("a tag that nobody pushed is there")
	}
	got := r.Requests(Match{Kind: Manifests})
	if len(got) != 2 {
		t.Fatalf("got %v, want two", got)
	}
	want := Request{
		Time: now, Method: "GET", Path: "/v2/team/app/manifests/" + digest.DigestStr(), Kind: Manifests,
		Repository: "team/app", Reference: digest.DigestStr(), Status: 200,
	}
	if got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	if got[1].Reference != "none" || got[1].Status != 404 {
		t.Errorf("got %+v", got[1])
	}
	if n := len(r.Requests(Match{Reference: "none"})); n != 1 {
		t.Errorf("%d requests for the tag, want 1", n)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const lie = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for name, tt := range map[string]struct {
		fault Fault
		check func(t *testing.T, status int, header http.Header, body string, err error)
	}{
		"a status": {Fault{Status: 503, RetryAfter: 7}, func(t *testing.T, status int, header http.Header, body string, _ error) {
			if status != 503 || header.Get("Retry-After") != "7" || !strings.Contains(body, `"errors"`) {
				t.Errorf("got %d %v %s", status, header, body)
			}
		}},
		"a dropped connection": {Fault{Drop: true}, func(t *testing.T, _ int, _ http.Header, _ string, err error) {
			if err == nil {
				t.Error("an answer came")
			}
		}},
		"half an answer": {Fault{TruncateAfter: 10}, func(t *testing.T, _ int, _ http.Header, body string, err error) {
			if err == nil || len(body) != 10 {
				t.Errorf("got %q, %v", body, err)
			}
		}},
		"a wrong digest": {Fault{Digest: lie}, func(t *testing.T, status int, header http.Header, body string, _ error) {
			if status != 200 || header.Get("Docker-Content-Digest") != lie || !strings.Contains(body, "layers") {
				t.Errorf("got %d %v %s", status, header, body)
			}
		}},
		"a delay": {Fault{Delay: time.Millisecond}, func(t *testing.T, status int, _ http.Header, _ string, err error) {
			if status != 200 || err != nil {
				t.Errorf("got %d %v", status, err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{})
			_, digest := push(t, r, "1")
			url := r.URL() + "/v2/team/app/manifests/1"
			match := Match{Method: "GET", Kind: Manifests, Repository: "team/app", Reference: "1"}

			heal := r.Fail(match, tt.fault)
			status, header, body, err := get(t.Context(), url)
			tt.check(t, status, header, body, err)
			if _, err := remote.Get(digest); err != nil {
				t.Errorf("what does not match fails too: %v", err)
			}
			heal()
			if status, _, _, err := get(t.Context(), url); status != 200 || err != nil {
				t.Errorf("healed, still %d %v", status, err)
			}

			tt.fault.Times = 1
			r.Fail(match, tt.fault)
			_, _, _, _ = get(t.Context(), url)
			if status, _, _, err := get(t.Context(), url); status != 200 || err != nil {
				t.Errorf("struck once, still %d %v", status, err)
			}
		})
	}
}

func TestAnEndlessBodyEndsWithItsReader(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	r.Fail(Match{}, Fault{Endless: true})
	response, err := http.Get(r.URL() + "/v2/team/app/blobs/sha256:0")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, response.Body, 5<<20); err != nil {
		t.Errorf("it ended after %d bytes: %v", n, err)
	}
	response.Body.Close()
	waitFor(t, "the request to end", func() bool { return len(r.Requests(Match{Kind: Blobs})) == 1 })
}

func TestAHangingRequestGoesOnWhenHealed(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	push(t, r, "1")
	heal := r.Fail(Match{Reference: "1"}, Fault{Hang: true})
	answered := make(chan int, 1)
	go func() {
		status, _, _, _ := get(context.Background(), r.URL()+"/v2/team/app/manifests/1")
		answered <- status
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if status, _, _, err := get(ctx, r.URL()+"/v2/team/app/manifests/1"); err == nil {
		t.Errorf("answered %d", status)
	}
	heal()
	if status := <-answered; status != 200 {
		t.Errorf("healed, got %d", status)
	}
}

// A tag that shows one image, then another: what a verifier sees first must be
// what is run later.
func TestManifestsInTurn(t *testing.T) {
	t.Parallel()
	r := start(t, Options{})
	one, _ := push(t, r, "1")
	two, _ := push(t, r, "2")
	var manifests [][]byte
	var digests []string
	for _, image := range []v1.Image{one, two} {
		raw, err := image.RawManifest()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		manifests, digests = append(manifests, raw), append(digests, digest.String())
	}
	r.Fail(Match{Kind: Manifests, Reference: "1"}, Fault{Manifests: manifests})
	tag, err := name.NewTag(r.Host() + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{digests[0], digests[1], digests[0]} {
		descriptor, err := remote.Get(tag)
		if err != nil || descriptor.Digest.String() != want {
			t.Errorf("look %d: %v, %v; want %s", i, descriptor, err, want)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Username: "u", Password: "p"})
	_, digest := push(t, r, "1")
	for _, reference := range []string{"1", digest.DigestStr()} {
		if err := r.Delete("team/app", reference); err != nil {
			t.Error(err)
		}
	}
	if _, err := remote.Get(digest, r.Client()...); err == nil {
		t.Error("it is still there")
	}
	if err := r.Delete("team/app", "1"); err == nil || !strings.Contains(err.Error(), "delete 1 of team/app") {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Username: "u", Password: "p"})
	_, digest := push(t, r, "1")
	if _, err := remote.Get(digest); err == nil {
		t.Error("anybody may read")
	}
	status, header, _, err := get(t.Context(), r.URL()+"/v2/")
	if err != nil || status != 401 || header.Get("WWW-Authenticate") == "" {
		t.Errorf("got %d %v %v", status, header, err)
	}
}

func TestUsersSeeTheirRepositories(t *testing.T) {
	t.Parallel()
	for _, tokens := range []bool{false, true} {
		r := start(t, Options{Username: "u", Password: "p", Tokens: tokens})
		_, digest := push(t, r, "1")
		as := func(name, password string) error {
			_, err := remote.Get(digest, remote.WithAuth(&authn.Basic{Username: name, Password: password}))
			return err
		}
		r.SetUsers(User{Name: "mine", Password: "a", Repositories: []string{"team/app"}}, User{Name: "other", Password: "b", Repositories: []string{"team/other"}})
		for because, tt := range map[string]struct {
			name, password string
			allowed        bool
		}{
			"its own":          {"mine", "a", true},
			"another's":        {"other", "b", false},
			"a wrong password": {"mine", "b", false},
			"who was before":   {"u", "p", false},
		} {
			if err := as(tt.name, tt.password); (err == nil) != tt.allowed {
				t.Errorf("tokens=%v: %s: %v", tokens, because, err)
			}
		}
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Username: "u", Password: "p", Tokens: true})
	_, digest := push(t, r, "1")
	puller, err := remote.NewPuller(r.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	count := func() int {
		return len(slices.DeleteFunc(r.Requests(Match{}), func(q Request) bool { return q.Path != "/token" }))
	}
	for range 2 {
		r.ForgetRequests()
		for range 2 {
			if _, err := puller.Get(t.Context(), digest); err != nil {
				t.Fatal(err)
			}
		}
		if got := count(); got != 1 {
			t.Errorf("signed in %d times", got)
		}
		r.ForgetTokens()
	}
}

func TestTLSIsTrustedByItsOwnCAOnly(t *testing.T) {
	t.Parallel()
	r := start(t, Options{TLS: true})
	_, digest := push(t, r, "1")
	if _, err := remote.Get(digest, r.Client()...); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(r.URL() + "/v2/"); err == nil {
		t.Error("trusted without its CA")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(r.CA()) {
		t.Fatal("the CA is not PEM")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	response, err := client.Get(r.URL() + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// A referrer is listed with its manifest's artifactType, and can be asked for
// by it; a registry without the API answers 404, as ghcr.io.
func TestReferrers(t *testing.T) {
	t.Parallel()
	for _, without := range []bool{false, true} {
		r := start(t, Options{WithoutReferrers: without})
		image, digest := push(t, r, "1")
		subject, err := partial(image)
		if err != nil {
			t.Fatal(err)
		}
		referrer, err := random.Image(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		referrer = mutate.Subject(mutate.MediaType(referrer, types.OCIManifestSchema1), *subject).(v1.Image)
		made, err := referrer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(digest.Context().Digest(made.String()), referrer); err != nil {
			t.Fatal(err)
		}
		status, _, _, err := get(t.Context(), r.URL()+"/v2/team/app/referrers/"+digest.DigestStr())
		if want := map[bool]int{false: 200, true: 404}[without]; status != want || err != nil {
			t.Errorf("without=%v: got %d %v", without, status, err)
		}
		// The library falls back to the tag by itself.
		index, err := remote.Referrers(digest)
		if err != nil {
			t.Fatal(err)
		}
		list, err := index.IndexManifest()
		if err != nil || len(list.Manifests) != 1 || list.Manifests[0].Digest != made {
			t.Errorf("without=%v: got %v %v", without, list, err)
		}
	}
}

func partial(image v1.Image) (*v1.Descriptor, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	size, err := image.Size()
	return &v1.Descriptor{MediaType: types.DockerManifestSchema2, Digest: digest, Size: size}, err
}

func TestTheRegistryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Start(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	waitFor(t, "the registry to stop", func() bool {
		_, _, _, err := get(context.Background(), r.URL()+"/v2/")
		return err != nil
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s in vain", what)
		}
	}
}
