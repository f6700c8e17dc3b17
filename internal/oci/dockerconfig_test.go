package oci_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/internal/oci"
)

func TestDockerConfigIsMatchedAsByKubernetes(t *testing.T) {
	t.Parallel()
	config, err := oci.ParseDockerConfig([]byte(`{"auths": {
		"ghcr.io": {"username": "u", "password": "ghcr"},
		"ghcr.io/acme": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("u:acme:with:colons")) + `"},
		"https://index.docker.io/v1/": {"auth": "` + base64.StdEncoding.EncodeToString([]byte("u:hub")) + `", "email": "x@y.z"},
		"*.azurecr.io": {"username": "u", "password": "azure"},
		"registry.acme.com:5000": {"username": "u", "password": "port"},
		"https://quay.io/v2/": {"username": "u", "password": "quay"},
		"gcr.io/one/": {"username": "u", "password": "one"},
		"empty.io": {}
	}}`))
	if err != nil {
		t.Fatal(err)
	}
	for repo, want := range map[string]string{
		"ghcr.io/other/web":                "ghcr",
		"ghcr.io/acme/web":                 "acme:with:colons ghcr", // the more special first
		"nginx":                            "hub",
		"docker.io/acme/web":               "hub",
		"index.docker.io/acme/web":         "hub",
		"acme.azurecr.io/web":              "azure",
		"a.b.azurecr.io/web":               "",
		"azurecr.io/web":                   "",
		"registry.acme.com:5000/web":       "port",
		"registry.acme.com/web":            "",
		"registry.acme.com:5001/web":       "",
		"quay.io/acme/web":                 "quay",
		"gcr.io/one/web":                   "one",
		"gcr.io/two/web":                   "",
		"empty.io/web":                     "",
		"ghcr.io.evil.com/acme/web":        "", // catalogue 44
		"evil.com/ghcr.io/acme":            "",
		"evil.azurecr.io.evil.com/a":       "",
		"xghcr.io/acme/web":                "",
		"index.docker.io.evil.com/a/nginx": "",
	} {
		parsed, err := name.NewRepository(repo)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range config.For(parsed) {
			got = append(got, c.Password)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", repo, got, want)
		}
	}
}

func TestDockerConfigsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const secret = "c2VjcmV0LXRva2Vu"
	for because, tt := range map[string]struct{ text, want string }{
		"no JSON":            {secret, "is not JSON"},
		"another form":       {`{"auths": "` + secret + `"}`, "is not JSON of the form"},
		"no auths":           {`{"credsStore": "` + secret + `"}`, `no "auths"`},
		"an auth of rubbish": {`{"auths": {"ghcr.io": {"auth": "%` + secret + `"}}}`, `"ghcr.io" has an "auth" that is not base64`},
		"an auth of no user": {`{"auths": {"ghcr.io": {"auth": "` + secret + `"}}}`, `"ghcr.io" has an "auth" that is not base64`},
		"a broken glob":      {`{"auths": {"[.io": {"username": "u", "password": "` + secret + `"}}}`, `registry "[.io"`},
		"no host":            {`{"auths": {"https://": {"username": "u", "password": "` + secret + `"}}}`, "no host"},
	} {
		_, err := oci.ParseDockerConfig([]byte(tt.text))
		fails(t, err, tt.want)
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "secret-token")) {
			t.Errorf("%s: the error tells it: %v", because, err)
		}
	}
}

// Whatever is in a Docker configuration, credentials are found only for a host
// of as many labels, and a path of theirs.
func FuzzDockerConfig(f *testing.F) {
	f.Add([]byte(`{"auths":{"ghcr.io/acme":{"auth":"dTpw"}}}`), "ghcr.io/acme/web")
	f.Add([]byte(`{"auths":{"*.*.io:443/":{"username":"u","password":"p"}}}`), "a.b.io:443/x")
	f.Add([]byte(`{"auths":{"[::1]:5000":{"username":"u","password":"p"}}}`), "[::1]:5000/x")
	f.Fuzz(func(t *testing.T, text []byte, repo string) {
		config, err := oci.ParseDockerConfig(text)
		if err != nil {
			return
		}
		parsed, err := name.NewRepository(repo)
		if err != nil {
			return
		}
		for _, c := range config.For(parsed) {
			if c.Username == "" || c.Password == "" {
				t.Errorf("%q finds half of the credentials for %s", text, repo)
			}
		}
		if other, err := name.NewRepository("x." + parsed.Name()); err == nil && len(config.For(parsed)) > 0 && strings.Count(string(text), ":{") <= 2 {
			if len(config.For(other)) > 0 {
				t.Errorf("%q finds credentials for %s and for %s", text, parsed, other)
			}
		}
	})
}
