package oci

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// DockerConfig holds the credentials of Docker's config.json, which is also
// what Kubernetes keeps in Secrets of the type kubernetes.io/dockerconfigjson.
type DockerConfig struct{ entries []dockerEntry }

type dockerEntry struct {
	key  string   // host and path as written, for the order
	host []string // labels, each may be a glob
	port string
	path string // a prefix; empty matches all
	Credentials
}

// ParseDockerConfig reads one. Its errors hold nothing of the text but names
// of registries. Credential helpers are programs, and are not run.
func ParseDockerConfig(text []byte) (*DockerConfig, error) {
	var file struct {
		Auths map[string]struct {
			Username string `json:"username"`
			Password string `json:"password"`
			Auth     string `json:"auth"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		// The decoder's own text may quote what it stumbled over.
		return nil, errors.New("the Docker configuration is not JSON of the form {\"auths\": {\"ghcr.io\": {\"auth\": …}}}")
	}
	if file.Auths == nil {
		return nil, errors.New(`the Docker configuration has no "auths"; credential helpers are not supported`)
	}
	c := &DockerConfig{}
	for key, auth := range file.Auths {
		e, err := newDockerEntry(key)
		if err != nil {
			return nil, fmt.Errorf("the Docker configuration names a registry %q: %w", key, err)
		}
		e.Username, e.Password = auth.Username, auth.Password
		if auth.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(auth.Auth))
			user, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("the Docker configuration for %q has an \"auth\" that is not base64 of user:password", key)
			}
			e.Username, e.Password = user, password
		}
		if e.Username != "" && e.Password != "" {
			c.entries = append(c.entries, e)
		}
	}
	// Backwards, so that the longer of two paths comes first: as in Kubernetes.
	slices.SortFunc(c.entries, func(a, b dockerEntry) int { return cmp.Compare(b.key, a.key) })
	return c, nil
}

func newDockerEntry(key string) (dockerEntry, error) {
	location := key
	if !strings.HasPrefix(key, "https://") && !strings.HasPrefix(key, "http://") {
		location = "https://" + key
	}
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return dockerEntry{}, errors.New("it is no host, and no host and path")
	}
	host, port := splitHost(u.Host)
	if host == "docker.io" || host == "registry-1.docker.io" {
		host = name.DefaultRegistry
	}
	path := u.Path
	if strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/v2/") {
		path = path[len("/v1"):] // https://index.docker.io/v1/ is Docker Hub
	}
	if path == "/" {
		path = ""
	}
	for _, label := range strings.Split(host, ".") {
		if _, err := filepath.Match(label, ""); err != nil {
			return dockerEntry{}, errors.New("its glob is broken")
		}
	}
	return dockerEntry{key: host + ":" + port + path, host: strings.Split(host, "."), port: port, path: path}, nil
}

func splitHost(s string) (host, port string) {
	if host, port, err := net.SplitHostPort(s); err == nil {
		return host, port
	}
	return s, ""
}

// For finds the credentials for a repository as a node does that pulls from
// it: labels of the host may be globs, the port has to be the same, and a path
// has to be the beginning of the repository's. Of several, those with the more
// special path come first.
// kubernetes.io/docs/concepts/containers/images/#config-json
func (c *DockerConfig) For(repo name.Repository) []Credentials {
	var found []Credentials
	host, port := splitHost(repo.RegistryStr())
	labels := strings.Split(host, ".")
	for _, e := range c.entries {
		if e.port != port || len(e.host) != len(labels) || !strings.HasPrefix("/"+repo.RepositoryStr(), e.path) {
			continue
		}
		matches := true
		for i, glob := range e.host {
			ok, _ := filepath.Match(glob, labels[i]) // parsed before
			matches = matches && ok
		}
		if matches && !slices.Contains(found, e.Credentials) {
			found = append(found, e.Credentials)
		}
	}
	return found
}
