package oci

import (
	"errors"
	"net/http"
	"testing"
)

// catalogue 43: a name that comes out as a metadata address is stopped where
// it is connected to.
func TestForbiddenAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]error{
		"169.254.169.254:80":          errForbidden,
		"[fe80::1%eth0]:443":          errForbidden,
		"[::ffff:169.254.169.254]:80": errForbidden,
		"[fd00:ec2::254]:80":          errForbidden,
		"168.63.129.16:80":            errForbidden,
		"0.0.0.0:443":                 errForbidden,
		"rubbish":                     errForbidden,
		"10.0.0.1:443":                nil, // registries are in private networks
		"127.0.0.1:5000":              nil,
		"140.82.121.33:443":           nil,
	} {
		if err := refuseForbidden("tcp", address, nil); err != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// catalogue 43
func TestWhereCredentialsMayGo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		registry, host string
		may            bool
	}{
		{"index.docker.io", "auth.docker.io", true},
		{"registry.gitlab.com", "gitlab.com", true},
		{"registry.acme.com:5000", "sso.acme.com", true},
		{"registry.acme.com", "auth.acme-login.com", true}, // listed
		{"registry.acme.com", "acme.com.evil.com", false},
		{"registry.acme.com", "evilacme.com", false},
		{"registry.acme.com", "mirror.acme.com", false}, // another registry of ours
		{"acme.github.io", "evil.github.io", false},
		{"acme.co.uk", "evil.co.uk", false},
		{"10.0.0.1", "10.0.0.2", false},
		{"10.0.0.1:5000", "10.0.0.1:5001", false},
		{"registry", "auth", false},
		{"ghcr.io", "169.254.169.254", false},
	} {
		r, err := newRegistry(Registry{TokenHosts: []string{"auth.acme-login.com"}}, tt.registry)
		if err != nil {
			t.Fatal(err)
		}
		r.isRegistry = func(host string) bool { return host == "mirror.acme.com" }
		for because, headers := range map[string]struct{ method, authorization string }{
			"a sign-in": {http.MethodGet, "Basic eA=="},
			"a form":    {http.MethodPost, ""},
		} {
			req, err := http.NewRequest(headers.method, "https://"+tt.host+"/token", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", headers.authorization)
			_, err = r.transport.(*guard).abroad(req)
			if foreign := (errForeign{}); errors.As(err, &foreign) == tt.may {
				t.Errorf("%s for %s to %s: %v", because, tt.registry, tt.host, err)
			}
		}
		// A token is for the registry alone.
		req, err := http.NewRequest(http.MethodGet, "https://"+tt.host+"/blob", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer x")
		sent, err := r.transport.(*guard).abroad(req)
		if err != nil || sent.Header.Get("Authorization") != "" {
			t.Errorf("a token of %s goes to %s: %v", tt.registry, tt.host, err)
		}
	}
}
