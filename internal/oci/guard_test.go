package oci_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/oci"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
)

// canary is a host that writes down who asked it.
type canary struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // the Authorization of each request
}

func newCanary(t *testing.T) *canary {
	c := &canary{}
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, r.Header.Get("Authorization"))
		_, _ = fmt.Fprint(w, `{"token":"x"}`)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *canary) host() string { return strings.TrimPrefix(c.URL, "https://") }

func (c *canary) requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

func secret(context.Context) (oci.Credentials, error) {
	return oci.Credentials{Username: "robot", Password: "s3cret"}, nil
}

// catalogue 43
func TestCredentialsGoToTheirRegistryAlone(t *testing.T) {
	t.Parallel()
	for because, tt := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, elsewhere string)
		follow bool // without credentials, as to where blobs are kept
	}{
		"a token from another host": {func(w http.ResponseWriter, _ *http.Request, elsewhere string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+elsewhere+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, false},
		"a redirect of the first request": {func(w http.ResponseWriter, r *http.Request, elsewhere string) {
			http.Redirect(w, r, "https://"+elsewhere+"/v2/", http.StatusTemporaryRedirect)
		}, true},
		"a redirect of a request with credentials": {func(w http.ResponseWriter, r *http.Request, elsewhere string) {
			if r.URL.Path == "/v2/" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, "https://"+elsewhere+"/blob", http.StatusTemporaryRedirect)
		}, true},
		"a redirect of the sign-in": {func(w http.ResponseWriter, r *http.Request, elsewhere string) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, "https://"+elsewhere+"/token", http.StatusTemporaryRedirect)
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}, false},
	} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			elsewhere := newCanary(t)
			evil := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tt.answer(w, r, elsewhere.host())
			}))
			t.Cleanup(evil.Close)
			host := strings.TrimPrefix(evil.URL, "https://")
			c := client(t, oci.Registry{Host: host, CA: pemOf(evil), Credentials: secret})
			_, err := c.Manifest(t.Context(), repository(t, c, host+"/acme/web").Tag("main"))
			if err == nil && !tt.follow {
				t.Error("no error")
			}
			if tt.follow == (len(elsewhere.requests()) == 0) {
				t.Errorf("another host was asked %d times", len(elsewhere.requests()))
			}
			if strings.Contains(fmt.Sprint(err), "s3cret") {
				t.Errorf("the error tells the password: %v", err)
			}
			for _, authorization := range elsewhere.requests() {
				if authorization != "" {
					t.Errorf("another host was sent %q", authorization)
				}
			}
		})
	}
}

// catalogue 43
func TestBlobsMayBeElsewhere(t *testing.T) {
	t.Parallel()
	r := start(t, registry.Options{TLS: true, Username: "robot", Password: "s3cret"})
	_, digest, image := push(t, r)
	config, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	// The same host by another name is another host, with a certificate that
	// the client trusts.
	storage := start(t, registry.Options{TLS: true})
	storage.Fail(registry.Match{}, registry.Fault{Manifests: [][]byte{raw}})
	r.Fail(registry.Match{Kind: registry.Blobs}, registry.Fault{Redirect: storage.URL() + "/blob?signature=x"})
	c := client(t, oci.Registry{Host: r.Host(), CA: append(r.CA(), storage.CA()...), Credentials: secret})
	b, err := c.Blob(t.Context(), digest.Context().Digest(config.String()), 1<<20)
	if err != nil || string(b) != string(raw) {
		t.Fatalf("got %q, %v", b, err)
	}
	asked := storage.Requests(registry.Match{})
	if len(asked) != 1 || asked[0].Authorization != "" {
		t.Errorf("the storage was asked %+v", asked)
	}
}

// catalogue 43: not even without credentials, and not by a name either.
func TestMetadataIsNeverAsked(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200", "0.0.0.0", "224.0.0.1",
	} {
		for because, answer := range map[string]http.HandlerFunc{
			"as the token service": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+address+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			},
			"by a redirect": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+address+"/latest/meta-data", http.StatusTemporaryRedirect)
			},
		} {
			t.Run(address+" "+because, func(t *testing.T) {
				t.Parallel()
				evil := httptest.NewTLSServer(answer)
				t.Cleanup(evil.Close)
				host := strings.TrimPrefix(evil.URL, "https://")
				c := client(t, oci.Registry{Host: host, CA: pemOf(evil)})
				_, err := c.Manifest(t.Context(), repository(t, c, host+"/acme/web").Tag("main"))
				if text := fmt.Sprint(err); !strings.Contains(text, "never asked") && !strings.Contains(text, "private or link-local address") {
					t.Errorf("got %v", err)
				}
			})
		}
		t.Run(address+" as the registry", func(t *testing.T) {
			t.Parallel()
			repo, err := name.NewRepository(address + "/acme/web")
			if err != nil {
				t.Fatal(err)
			}
			_, err = client(t).Manifest(t.Context(), repo.Tag("main"))
			fails(t, err, "never asked")
		})
	}
}

// catalogue 42
func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	for because, where := range map[string]string{"of the first request": "/v2/", "of what is asked": "/v2/acme/"} {
		t.Run(because, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, where) {
					asked.Add(1)
					http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				}
			}))
			t.Cleanup(endless.Close)
			host := strings.TrimPrefix(endless.URL, "http://")
			c := client(t, oci.Registry{Host: host, PlainHTTP: true})
			_, err := c.Manifest(t.Context(), repository(t, c, host+"/acme/web").Tag("main"))
			fails(t, err, "redirects more than 5 times")
			if n := asked.Load(); n > 20 {
				t.Errorf("it was followed %d times", n)
			}
		})
	}
}

func repository(t *testing.T, c *oci.Client, s string) name.Repository {
	t.Helper()
	repo, err := c.Repository(s)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
