package main

import (
	"fmt"
	"strings"

	"github.com/pawl-dev/pawl/environments"
)

// overlays is a repository whose overlays render so many objects each from one
// base: Deployments and Services in turn, with a namespace, labels, a patch and
// pinned images, and a generated ConfigMap. The shipped policies allow them.
func overlays(number, objects int) (map[string]string, []environments.Target) {
	files := map[string]string{}
	var resources strings.Builder
	for i := range objects - 1 {
		text := deployment
		if i%2 == 1 {
			text = service
		}
		files[fmt.Sprintf("base/object-%d.yaml", i)] = strings.ReplaceAll(text, "NAME", fmt.Sprintf("web-%d", i))
		fmt.Fprintf(&resources, "  - object-%d.yaml\n", i)
	}
	files["base/kustomization.yaml"] = "resources:\n" + resources.String()
	var targets []environments.Target
	for i := range number {
		name := fmt.Sprintf("app-%02d", i)
		folder := "overlays/" + name
		targets = append(targets, environments.Target{Environment: "dev", Application: name, Overlay: folder})
		files[folder+"/kustomization.yaml"] = strings.ReplaceAll(kustomization, "NAME", name)
		files[folder+"/settings.txt"] = "name = " + name + "\n"
		files[folder+"/patch.yaml"] = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-0\nspec:\n  replicas: 3\n"
	}
	return files, targets
}

const kustomization = `namespace: NAME
resources: [../../base]
labels:
  - pairs: {env: dev}
patches:
  - path: patch.yaml
configMapGenerator:
  - name: settings
    files: [settings.txt]
images:
  - name: ghcr.io/acme/web
    digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
`

const service = `apiVersion: v1
kind: Service
metadata:
  name: NAME
spec:
  selector: {app: NAME}
  ports:
    - port: 80
`

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
spec:
  selector:
    matchLabels: {app: NAME}
  template:
    metadata:
      labels: {app: NAME}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: ghcr.io/acme/web
          args: [--port=8080]
          env:
            - name: LEVEL
              value: info
          resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 64Mi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`
