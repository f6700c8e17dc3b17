package deploy_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/internal/testworld/controlplane"
)

// copyFiles puts the shipped folders into another file system.
func copyFiles(to filesys.FileSystem) error {
	return fs.WalkDir(deploy.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(deploy.FS(), path)
		if err != nil {
			return err
		}
		return to.WriteFile("/"+path, text)
	})
}

// installed is the shared control plane with the rights applied to it, seen by
// an administrator and by the agent's own account.
type installed struct {
	admin, agent client
	agentConfig  *rest.Config
}

var world struct {
	once sync.Once
	installed
}

// install applies the folder rbac once for all tests.
func install(t *testing.T) installed {
	t.Helper()
	world.once.Do(func() {
		config, err := controlplane.Shared(t).RESTConfig()
		if err != nil {
			t.Fatal(err)
		}
		admin := newClient(t, config)
		objects, err := deploy.RBAC()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if err := admin.apply(t, o); err != nil {
				t.Fatalf("apply %s: %v", key(o), err)
			}
		}
		if _, err := admin.CoreV1().Secrets(deploy.Namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "pawl-secrets"},
			StringData: map[string]string{"github-app.pem": "planted", "webhook-secret": "planted", "registry-password": "planted"},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		token, err := admin.CoreV1().ServiceAccounts(deploy.Namespace).CreateToken(t.Context(), deploy.ServiceAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		config = rest.AnonymousClientConfig(config)
		config.BearerToken = token.Status.Token
		config.QPS = -1
		world.installed = installed{admin, newClient(t, config), config}
	})
	if world.admin.Clientset == nil {
		t.Fatal("the rights are not installed; an earlier test says why")
	}
	// Rights reach the authorizer, and the guard the admission, a moment later.
	eventually(t, "the agent may list ConfigMaps", func() error {
		_, err := world.agent.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{LabelSelector: "pawl.dev/target"})
		return err
	})
	eventually(t, "the guard stands", func() error {
		_, err := world.agent.CoreV1().ConfigMaps(deploy.Namespace).Create(t.Context(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("it lets through what it should not")
		}
		if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return err
		}
		return nil
	})
	return world.installed
}
