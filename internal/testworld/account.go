package testworld

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/pawl-dev/pawl/deploy"
)

// AgentUser is who the agent is to the API server, and to its audit log.
const AgentUser = "system:serviceaccount:" + deploy.Namespace + ":" + deploy.ServiceAccount

// tokenLife is longer than any test or demo; a real agent's token is renewed
// by its kubelet.
const tokenLife = 24 * time.Hour

// installAgent gives the agent's service account the rights that Pawl ships
// with, no more, and returns a kubeconfig for it in the folder.
func (w *World) installAgent(ctx context.Context, folder string) (kubeconfig string, err error) {
	access, err := w.ControlPlane.RESTConfig()
	if err != nil {
		return "", err
	}
	w.install.Lock()
	if !w.installed {
		err = applyRights(ctx, access)
		w.installed = err == nil
	}
	w.install.Unlock()
	if err != nil {
		return "", fmt.Errorf("give the agent its rights: %w", err)
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return "", err
	}
	seconds := int64(tokenLife.Seconds())
	token, err := client.CoreV1().ServiceAccounts(deploy.Namespace).CreateToken(ctx, deploy.ServiceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token for the agent: %w", err)
	}
	config := api.NewConfig()
	config.Clusters["world"] = &api.Cluster{
		Server: access.Host, CertificateAuthority: access.CAFile, CertificateAuthorityData: access.CAData,
		InsecureSkipTLSVerify: access.Insecure, TLSServerName: access.ServerName,
	}
	config.AuthInfos["agent"] = &api.AuthInfo{Token: token.Status.Token}
	config.Contexts["agent"] = &api.Context{Cluster: "world", AuthInfo: "agent"}
	config.CurrentContext = "agent"
	kubeconfig = filepath.Join(folder, "kubeconfig")
	return kubeconfig, clientcmd.WriteToFile(*config, kubeconfig)
}

// applyRights applies deploy/rbac as a person with the rights to do so would.
func applyRights(ctx context.Context, access *rest.Config) error {
	force := true
	return eachRight(access, func(resource dynamic.ResourceInterface, o *unstructured.Unstructured) error {
		text, err := json.Marshal(o)
		if err != nil {
			return err
		}
		_, err = resource.Patch(ctx, o.GetName(), types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "pawl-install", Force: &force})
		return err
	})
}

// Uninstall takes the agent's account and its rights out of the cluster, the
// namespace with its inventories among them.
func (w *World) Uninstall(ctx context.Context) error {
	access, err := w.ControlPlane.RESTConfig()
	if err != nil {
		return err
	}
	return eachRight(access, func(resource dynamic.ResourceInterface, o *unstructured.Unstructured) error {
		if err := resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

// eachRight does something with each object of deploy/rbac.
func eachRight(access *rest.Config, do func(dynamic.ResourceInterface, *unstructured.Unstructured) error) error {
	objects, err := deploy.RBAC()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(access)
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfig(access)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	for _, o := range objects {
		kind := o.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return err
		}
		var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			resource = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
		}
		if err := do(resource, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}
