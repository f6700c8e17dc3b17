package main

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// says reports whether an object of a revision says its text.
func says(object runtime.Object, text string) bool {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		return o.Data["text"] == text
	case *appsv1.Deployment:
		for _, v := range o.Spec.Template.Spec.Containers[0].Env {
			if v.Name == "TEXT" {
				return v.Value == text
			}
		}
	}
	return false
}
