package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

const (
	firstSyncs   = 3
	firstObjects = 2000
)

// measureFirstSync takes how long a target of 2,000 objects that are not there
// yet needs, beside the same objects without an agent.
func measureFirstSync(ctx context.Context, b *bench) (rows []row, err error) {
	m, err := b.open(ctx, 1, 20, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.process.Stop(ctx)) }()
	least, err := newFloor(m.access)
	if err != nil {
		return nil, err
	}
	for i := range m.namespaces {
		if _, err := m.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("floor-", i)}}, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	var with, without sample
	for i := range firstSyncs {
		b.progress("first sync of %d objects, %d of %d", firstObjects, i+1, firstSyncs)
		var texts strings.Builder
		var places []place
		for j := range firstObjects {
			p := place{"ConfigMap", fmt.Sprint("floor-", j%len(m.namespaces)), fmt.Sprintf("floor-%d-%d", i, j)}
			writeMap(&texts, m.set, p.namespace, p.name, "first")
			places = append(places, p)
		}
		begun := time.Now()
		if err := least.bring(ctx, []string{texts.String()}); err != nil {
			return nil, err
		}
		last, err := m.seen.until(ctx, begun, "first", true, places...)
		if err != nil {
			return nil, err
		}
		without = append(without, last.Sub(begun))

		texts.Reset()
		places = nil
		for j := range firstObjects {
			p := place{"ConfigMap", m.namespaces[j%len(m.namespaces)], fmt.Sprintf("first-%d-%d", i, j)}
			writeMap(&texts, m.set, p.namespace, p.name, "first")
			places = append(places, p)
		}
		begun = time.Now()
		commit, err := m.Repository.Commit(ctx, git.Commit{Message: fmt.Sprint("first sync ", i), Write: map[string]string{
			"pawl.yaml": pipelineOfMany,
			fmt.Sprintf("apps/first-%d/dev/kustomization.yaml", i): kustomizationOfObjects,
			fmt.Sprintf("apps/first-%d/dev/objects.yaml", i):       texts.String(),
		}})
		if err != nil {
			return nil, err
		}
		if last, err = m.seen.until(ctx, begun, "first", true, places...); err != nil {
			return nil, err
		}
		with = append(with, last.Sub(begun))
		if _, err := m.Check(ctx, commit, "dev"); err != nil {
			return nil, err
		}
	}
	what := fmt.Sprintf("first sync of %d objects, push → last object", firstObjects)
	return []row{with.row(what, reach{}), ratioRow(what, with, without)}, nil
}

// pipelineOfMany has a target for each folder below apps.
const pipelineOfMany = `apiVersion: pawl.dev/v1alpha1
kind: Pipeline
metadata: {name: bench}
spec:
  overlays: apps/{app}/{env}
  environments: [{name: dev}]
`
