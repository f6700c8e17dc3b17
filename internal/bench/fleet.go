package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// changes are how many of all targets are changed at once, and how often.
var changes = []struct{ targets, n int }{{100, 3}, {500, 2}, {1000, 2}}

const fleetNamespaces = 20

// fleet is a shop of many targets with four objects each, and beside it the same
// objects without an agent.
type fleet struct {
	*testworld.Shop
	process *testworld.Process
	size    int
	image   string
	floor   *floor
	// seen has both sets, with the namespaces' names apart.
	seen *observer
}

const fleetSet = "fleet"

// measureFleet changes a hundred, five hundred and a thousand of a thousand
// targets at once, and each time as many beside them without an agent.
func measureFleet(ctx context.Context, b *bench) (rows []row, err error) {
	size := b.targets
	f, err := b.openFleet(ctx, size)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.process.Stop(ctx)) }()
	turn := 0
	for _, c := range changes {
		if c.targets > size {
			break
		}
		var healthy, known, floor sample
		for i := range c.n {
			b.progress("%d targets changed at once, %d of %d", c.targets, i+1, c.n)
			turn++
			took, err := f.without(ctx, c.targets, fmt.Sprint(turn))
			if err != nil {
				return rows, err
			}
			floor = append(floor, took)
			h, k, err := f.change(ctx, c.targets, fmt.Sprint(turn))
			if err != nil {
				return rows, err
			}
			healthy, known = append(healthy, h), append(known, k)
		}
		what := fmt.Sprintf("%d of %d targets × 4 objects changed at once → all healthy", c.targets, size)
		rows = append(rows,
			healthy.row(what, reach{}),
			ratioRow(what, healthy, floor),
			known.row(fmt.Sprintf("%d of %d targets: → check green", c.targets, size), reach{}),
		)
	}
	more, err := memoryRows(ctx, f.Shop, f.process.PID(), fmt.Sprintf("%d targets × 4 objects", size))
	return append(rows, more...), err
}

// openFleet makes both sets and starts the agent.
func (b *bench) openFleet(ctx context.Context, size int) (*fleet, error) {
	access, err := b.world.ControlPlane.RESTConfig()
	if err != nil {
		return nil, err
	}
	f := &fleet{size: size}
	if f.floor, err = newFloor(access); err != nil {
		return nil, err
	}
	client := observing(access)
	for _, set := range []string{"agent", "floor"} {
		for i := range fleetNamespaces {
			if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("fleet-%s-%d", set, i)}}, metav1.CreateOptions{}); err != nil {
				return nil, err
			}
		}
	}
	if f.seen, err = observe(ctx, client, fleetSet); err != nil {
		return nil, err
	}
	folder := filepath.Join(b.folder, b.name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	if f.Shop, err = b.world.OpenShop(ctx, testworld.ShopOptions{Name: "acme/fleet", Folder: folder, Environments: []string{"dev"}}); err != nil {
		return nil, err
	}
	digest, err := f.Push(ctx, "web", "1", "web", true)
	if err != nil {
		return nil, err
	}
	f.image = digest.String()
	b.progress("%d targets are made without an agent", size)
	if _, err := f.without(ctx, size, "first"); err != nil {
		return nil, err
	}
	b.progress("%d targets are made by the agent", size)
	if _, err := f.commit(ctx, size, "first"); err != nil {
		return nil, err
	}
	begun := time.Now()
	if f.process, err = f.StartAgent(ctx, b.pawl); err != nil {
		return nil, err
	}
	_, err = f.seen.until(ctx, begun, "first", true, f.places("agent", size)...)
	return f, err
}

// observing is a client that is not slowed down, and decodes quickly.
func observing(access *rest.Config) *kubernetes.Clientset {
	access = rest.CopyConfig(access)
	access.QPS, access.UserAgent = -1, "bench"
	access.ContentType = "application/vnd.kubernetes.protobuf"
	access.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	return kubernetes.NewForConfigOrDie(access)
}

func namespaceOf(set string, i int) string { return fmt.Sprintf("fleet-%s-%d", set, i%fleetNamespaces) }

func (f *fleet) places(set string, targets int) []place {
	var all []place
	for i := range targets {
		all = append(all, applicationPlaces(namespaceOf(set, i), fmt.Sprintf("app-%d", i))...)
	}
	return all
}

func (f *fleet) objects(set string, i int, text string) string {
	var b strings.Builder
	writeApplication(&b, fleetSet, namespaceOf(set, i), fmt.Sprintf("app-%d", i), text, f.image)
	return b.String()
}

// without renders and applies so many targets with no agent, and returns how
// long it took until all were healthy.
func (f *fleet) without(ctx context.Context, targets int, text string) (time.Duration, error) {
	var overlays []string
	for i := range targets {
		overlays = append(overlays, f.objects("floor", i, text))
	}
	begun := time.Now()
	if err := f.floor.bring(ctx, overlays); err != nil {
		return 0, err
	}
	last, err := f.seen.until(ctx, begun, text, true, f.places("floor", targets)...)
	return last.Sub(begun), err
}

// change pushes a revision that changes so many targets, and returns how long
// it took until all were healthy and until the check said so.
func (f *fleet) change(ctx context.Context, targets int, text string) (healthy, known time.Duration, err error) {
	begun := time.Now()
	commit, err := f.commit(ctx, targets, text)
	if err != nil {
		return 0, 0, err
	}
	last, err := f.seen.until(ctx, begun, text, true, f.places("agent", targets)...)
	if err != nil {
		return 0, 0, fmt.Errorf("%w\n%s", err, f.process.Tail(5))
	}
	err = f.Green(ctx, commit, "dev")
	return last.Sub(begun), time.Since(begun), err
}

func (f *fleet) commit(ctx context.Context, targets int, text string) (string, error) {
	write := map[string]string{"pawl.yaml": pipelineOfMany}
	for i := range targets {
		folder := fmt.Sprintf("apps/app-%d/dev/", i)
		write[folder+"kustomization.yaml"] = kustomizationOfObjects
		write[folder+"objects.yaml"] = f.objects("agent", i, text)
	}
	return f.Repository.Commit(ctx, git.Commit{Message: "text " + text, Write: write})
}

// settled is after how long an agent that had nothing to do has returned to the
// system what it needed for its work.
const settled = 15 * time.Second

// memoryRows are what the agent needs, after a while in which it had nothing to
// do, and what it needed at most before.
func memoryRows(ctx context.Context, shop *testworld.Shop, pid int, what string) ([]row, error) {
	var resident, private, heap []int64
	var peak int64
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settled):
	}
	for range 5 {
		used, err := usageOf(pid)
		if err != nil {
			return nil, err
		}
		live, err := heapOf(ctx, shop)
		if err != nil {
			return nil, err
		}
		resident, private, heap = append(resident, used.resident), append(private, used.private), append(heap, live)
		peak = used.peak
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	most := slices.Max(resident)
	return []row{{
		What: fmt.Sprintf("agent's memory, %s: resident (not mapped files; heap in use; resident at most before)", what),
		P50:  fmt.Sprintf("%d MiB (%d; %d; %d)", most>>20, slices.Max(private)>>20, slices.Max(heap)>>20, peak>>20), N: len(resident),
		Reach: "≤ 120 MiB", Met: met(most>>20 <= 120),
	}}, nil
}
