package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// atOnce is how many requests the floor makes at once: as many as the agent.
const atOnce = 16

var resources = map[string]schema.GroupVersionResource{
	"ConfigMap":      {Version: "v1", Resource: "configmaps"},
	"Service":        {Version: "v1", Resource: "services"},
	"ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
	"Deployment":     {Group: "apps", Version: "v1", Resource: "deployments"},
}

// floor does the least that brings overlays to a cluster: kustomize in this
// process and one server-side apply for each object. Nothing is checked, tried,
// remembered or watched.
type floor struct{ client *dynamic.DynamicClient }

func newFloor(access *rest.Config) (*floor, error) {
	access = rest.CopyConfig(access)
	access.QPS = -1
	client, err := dynamic.NewForConfig(access)
	return &floor{client}, err
}

// bring renders and applies overlays, one file of objects each.
func (f *floor) bring(ctx context.Context, overlays []string) error {
	g, ctx := errgroup.WithContext(ctx)
	objects := make(chan *unstructured.Unstructured)
	g.Go(func() error {
		defer close(objects)
		for _, text := range overlays { // kustomize builds one at a time
			disk := filesys.MakeFsInMemory()
			if err := disk.WriteFile("/overlay/kustomization.yaml", []byte(kustomizationOfObjects)); err != nil {
				return err
			}
			if err := disk.WriteFile("/overlay/objects.yaml", []byte(text)); err != nil {
				return err
			}
			built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/overlay")
			if err != nil {
				return err
			}
			for _, r := range built.Resources() {
				content, err := r.Map()
				if err != nil {
					return err
				}
				select {
				case objects <- &unstructured.Unstructured{Object: content}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range atOnce {
		g.Go(func() error {
			for o := range objects {
				if err := f.apply(ctx, o); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *floor) apply(ctx context.Context, o *unstructured.Unstructured) error {
	body, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	force := true
	_, err = f.client.Resource(resources[o.GetKind()]).Namespace(o.GetNamespace()).
		Patch(ctx, o.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "floor", Force: &force})
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// ratioRow says how many times as long as the floor something took, with the
// reach that all of it stands under.
func ratioRow(what string, took, floor sample) row {
	ratio := float64(took.percentile(50)) / float64(floor.percentile(50))
	return row{
		What: fmt.Sprintf("%s: ÷ floor of %s", what, short(floor.percentile(50).Round(time.Millisecond))),
		P50:  fmt.Sprintf("%.2f ×", ratio), N: len(took), Reach: "≤ 1.25 ×", Met: met(ratio <= 1.25),
	}
}
