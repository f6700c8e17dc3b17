package cluster

import (
	"fmt"
	"strings"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/drift"
)

// Access is how an environment's objects are written: which, and in whose name.
type Access struct {
	Reach drift.Reach // its Own is filled in
	// ServiceAccount, "namespace/name", is impersonated for whatever is written
	// or deleted; empty: the agent's own account. Watching, the inventories and
	// everything else that is the agent's own business stay with the latter.
	ServiceAccount string
}

// writer makes the requests that change an environment's objects.
type writer struct {
	client *dynamic.DynamicClient
	rest   rest.Interface
}

func newWriter(config *rest.Config) (writer, error) {
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return writer{}, err
	}
	raw := dynamic.ConfigFor(config)
	raw.GroupVersion = nil
	client, err := rest.UnversionedRESTClientForConfigAndClient(raw, http)
	if err != nil {
		return writer{}, err
	}
	return writer{dynamic.New(client), client}, nil
}

// writers makes a writer for each environment that has an account of its own.
func writers(config *rest.Config, environments map[string]Access) (map[string]writer, error) {
	made := map[string]writer{}
	for name, access := range environments {
		if access.ServiceAccount == "" {
			continue
		}
		namespace, account, ok := strings.Cut(access.ServiceAccount, "/")
		if !ok || namespace == "" || account == "" {
			return nil, fmt.Errorf("environment %s: %q is no service account; write namespace/name", name, access.ServiceAccount)
		}
		other := rest.CopyConfig(config)
		other.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + account}
		w, err := newWriter(other)
		if err != nil {
			return nil, fmt.Errorf("environment %s: acting as %s: %w", name, access.ServiceAccount, err)
		}
		made[name] = w
	}
	return made, nil
}

// reach is what an environment's releases may write.
func (c *Cluster) reach(environment string) drift.Reach {
	reach := c.options.Environments[environment].Reach
	reach.Own = c.options.Namespace
	return reach
}

// writer is who writes the objects of an environment.
func (c *Cluster) writer(environment string) writer {
	if w, ok := c.writers[environment]; ok {
		return w
	}
	return writer{c.client, c.rest}
}
