package deploy_test

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/deploy"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/policies/shipped"
)

// What the container sees at /etc/pawl is a configuration that the agent
// takes, and the files that it names.
func TestTheMountedExampleConfigurationLoads(t *testing.T) {
	t.Parallel()
	built := build(t, filesys.MakeFsOnDisk(), "example")
	deployment := into[appsv1.Deployment](t, find(t, built, "Deployment", "pawl"))
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]

	var configMap corev1.ConfigMap
	secret := ""
	for _, volume := range pod.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ConfigMap != nil {
				configMap = into[corev1.ConfigMap](t, find(t, built, "ConfigMap", source.ConfigMap.Name))
			}
			if source.Secret != nil {
				secret = source.Secret.Name
			}
		}
	}
	if configMap.Name == "pawl-config" {
		t.Error("the ConfigMap's name has no hash: a changed configuration would not start the agent anew")
	}
	file := strings.TrimPrefix(container.Args[len(container.Args)-1], "--config=")
	config, err := agent.LoadConfig(file, []byte(configMap.Data[path.Base(file)]))
	if err != nil {
		t.Fatal(err)
	}
	if config.Namespace != deploy.Namespace {
		t.Errorf("inventories would be kept in %s", config.Namespace)
	}
	for _, port := range container.Ports {
		want := map[string]string{"public": ":8080", "internal": ":8081"}[port.Name]
		got := map[string]string{"public": config.HTTP.Public, "internal": config.HTTP.Internal}[port.Name]
		if got != want || want != fmt.Sprintf(":%d", port.ContainerPort) {
			t.Errorf("port %s is %d, the agent listens on %s", port.Name, port.ContainerPort, got)
		}
	}

	// What levels ask of policies is there, and they have the parameters they need.
	pool := rego.New(sealed.Options{})
	defer pool.Close()
	for _, p := range config.Policies {
		files, err := shipped.Files(p.Shipped)
		if err == nil {
			_, err = pool.Compile(p.Name, files, p.Parameters)
		}
		if err != nil {
			t.Errorf("policy %s: %v", p.Name, err)
		}
	}
	if len(config.Levels) == 0 || len(config.Policies) == 0 {
		t.Error("it shows no compliance level, or no policy")
	}

	// Each file is in the ConfigMap, or in the Secret as the README makes it.
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var inSecret []string
	for _, m := range regexp.MustCompile(`--from-file=([a-z0-9.-]+)`).FindAllStringSubmatch(string(readme), -1) {
		inSecret = append(inSecret, m[1])
	}
	if !strings.Contains(string(readme), "secret generic "+secret) {
		t.Errorf("the README does not say how to make Secret %s", secret)
	}
	files := []string{config.GitHub.App.Key.File, config.GitHub.Webhook.Secret.File, config.Registries[0].Credentials.Password.File, config.Trust[0].Keys[0].File}
	for _, f := range files {
		_, public := configMap.Data[path.Base(f)]
		if path.Dir(f) != container.VolumeMounts[0].MountPath || !public && !slices.Contains(inSecret, path.Base(f)) {
			t.Errorf("%s is neither in the ConfigMap nor in the Secret", f)
		}
	}
}
