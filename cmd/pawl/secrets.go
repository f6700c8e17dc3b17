package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/agent"
)

// secrets reads entries of Secrets in the agent's namespace: of the cluster it
// runs in, or else of its first environment. It connects when it is first used.
func secrets(config agent.Config) func(context.Context, agent.SecretKey) ([]byte, error) {
	return func(ctx context.Context, k agent.SecretKey) ([]byte, error) {
		doing := fmt.Sprintf("read Secret %s/%s", config.Namespace, k.Name)
		access, err := ownCluster(config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		client, err := corev1.NewForConfig(access)
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

// ownCluster is the one that the agent runs in, or else that of its first
// environment.
func ownCluster(config agent.Config) (*rest.Config, error) {
	if access, err := rest.InClusterConfig(); err == nil {
		return access, nil
	}
	return clusterAccess(config.Environments[0])
}
