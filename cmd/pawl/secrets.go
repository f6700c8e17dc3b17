package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
)

// secrets reads entries of Secrets in the agent's namespace: of the cluster it
// runs in, or else of its first environment. It connects when it is first used.
func secrets(config agent.Config) func(context.Context, demands.SecretKey) ([]byte, error) {
	connected := sync.OnceValues(func() (*corev1.CoreV1Client, error) {
		access, err := ownCluster(config)
		if err != nil {
			return nil, err
		}
		return corev1.NewForConfig(access)
	})
	return func(ctx context.Context, k demands.SecretKey) ([]byte, error) {
		doing := fmt.Sprintf("read Secret %s/%s", config.Namespace, k.Name)
		client, err := connected()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		secret, err := client.Secrets(config.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		text := secret.Data[k.Key]
		if len(text) == 0 {
			return nil, fmt.Errorf("%s: it has no entry %q, or that is empty", doing, k.Key)
		}
		return text, nil
	}
}

// ownCluster is the one that the agent runs in or, where it runs in none, that of
// its first environment. A pod whose own cluster cannot be reached looks in no
// other: the keys there may be somebody else's.
func ownCluster(config agent.Config) (*rest.Config, error) {
	access, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return clusterAccess(config.Environments[0])
	case err != nil:
		return nil, fmt.Errorf("reach the cluster that the agent runs in: %w; mount its service account", err)
	}
	return access, nil
}
