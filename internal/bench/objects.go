package main

import (
	"fmt"
	"strings"
)

// writeMap adds a ConfigMap that says a text to a set.
func writeMap(b *strings.Builder, set, namespace, name, text string) {
	fmt.Fprintf(b, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s, labels: {%s: %s}}\ndata: {text: %q, more: some text of the usual length}\n---\n",
		name, namespace, labelSet, set, text)
}

// writeDeployment adds a Deployment of one pod that says a text. fail is what
// the simulated kubelet makes of its pods, empty if they run.
func writeDeployment(b *strings.Builder, set, namespace, name, text, image, fail string) {
	annotations := ""
	if fail != "" {
		annotations = ", annotations: {testworld.pawl.dev/fail: " + fail + "}"
	}
	fmt.Fprintf(b, `apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: %[2]s, labels: {%[3]s: %[4]s}}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}%[5]s}
    spec: {containers: [{name: web, image: %[6]q, env: [{name: TEXT, value: %[7]q}]}]}
---
`, name, namespace, labelSet, set, annotations, image, text)
}

// writeService adds a Service that says a text.
func writeService(b *strings.Builder, set, namespace, name, text string) {
	fmt.Fprintf(b, `apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s, labels: {%[3]s: %[4]s}, annotations: {text: %[5]q}}
spec: {selector: {app: %[1]s}, ports: [{port: 80}]}
---
`, name, namespace, labelSet, set, text)
}

// writeApplication adds four objects that say a text.
func writeApplication(b *strings.Builder, set, namespace, name, text, image string) {
	writeDeployment(b, set, namespace, name, text, image, "")
	writeMap(b, set, namespace, name, text)
	writeService(b, set, namespace, name, text)
	fmt.Fprintf(b, `apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s, labels: {%[3]s: %[4]s}, annotations: {text: %[5]q}}
---
`, name, namespace, labelSet, set, text)
}

// applicationPlaces are those objects.
func applicationPlaces(namespace, name string) []place {
	return []place{{"Deployment", namespace, name}, {"ConfigMap", namespace, name}, {"Service", namespace, name}, {"ServiceAccount", namespace, name}}
}

const kustomizationOfObjects = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [objects.yaml]\n"
