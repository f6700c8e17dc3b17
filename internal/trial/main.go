// Command trial deploys a config repo that nobody wrote for Pawl: a folder with
// kustomize overlays, one for each environment. It runs on the real servers
// with the real agent; only the images are stand-ins, signed and with
// provenance, which each overlay's images: is made to name. The agent demands
// both, and those of the shipped policies that deny nothing here; what the
// others deny is printed.
//
//	go run ./internal/trial --overlays 'overlays/{env}' --environments dev,staging,production FOLDER
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/gitsync/worktree"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/policies/rego"
	"github.com/pawl-dev/pawl/render"
	sealedrender "github.com/pawl-dev/pawl/render/sealed"
)

func main() {
	sealed.Main(sealedrender.Worker, rego.Worker) // does not return where this process is a sealed child
	pawl := flag.String("pawl", "bin/pawl", "the pawl binary")
	overlays := flag.String("overlays", "overlays/{env}", "the overlay pattern")
	names := flag.String("environments", "dev,staging,production", "the environments, in order")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "trial: name one folder, the config repo to deploy")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := testworld.Visit(ctx, func(world *testworld.World, work string) error {
		return run(ctx, world, work, *pawl, *overlays, strings.Split(*names, ","), flag.Arg(0))
	})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trial:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, world *testworld.World, work, pawl, overlays string, names []string, folder string) (err error) {
	shop, err := world.OpenShop(ctx, testworld.ShopOptions{Name: "acme/trial", Folder: work, Environments: names})
	if err != nil {
		return err
	}
	files, err := files(folder)
	if err != nil {
		return err
	}
	pipeline := pipelineOf(overlays, names)
	files["pawl.yaml"] = pipeline
	t := &trial{shop: shop, files: files, builder: sealedrender.New(sealed.Options{}), stood: map[string]name.Digest{}}
	defer func() { err = errors.Join(err, t.builder.Close()) }()
	for _, name := range names {
		t.targets = append(t.targets, environments.Target{Environment: name, Overlay: strings.ReplaceAll(overlays, "{env}", name)})
	}
	if err := t.standIn(ctx); err != nil {
		return err
	}
	allowing, err := t.policies(ctx)
	if err != nil {
		return err
	}
	if err := t.demand(allowing); err != nil {
		return err
	}
	started := time.Now()
	commit, err := shop.Repository.Commit(ctx, git.Commit{Message: "Trial", Write: files})
	if err != nil {
		return err
	}
	agent, err := shop.StartAgent(ctx, pawl)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Stop(context.WithoutCancel(ctx))) }()
	for _, name := range names {
		run, err := shop.Check(ctx, commit, name)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, agent.Tail(20))
		}
		fmt.Printf("%s: %s after %.1f s: %s\n\n%s\n", run.GetName(), run.GetConclusion(), time.Since(started).Seconds(), run.GetOutput().GetTitle(), run.GetOutput().GetSummary())
		if run.GetConclusion() != "success" {
			err = errors.Join(err, fmt.Errorf("%s failed", name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pipelineOf is the pawl.yaml of a trial.
func pipelineOf(overlays string, names []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: pawl.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: trial}\nspec:\n  overlays: %q\n  environments:\n", overlays)
	for i, name := range names {
		fmt.Fprintf(&b, "    - {name: %s", name)
		if i > 0 {
			fmt.Fprintf(&b, ", after: [%s]", names[i-1])
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// files reads the folder's files by path.
func files(folder string) (map[string]string, error) {
	found := map[string]string{}
	root := os.DirFS(folder)
	return found, fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, p)
		found[p] = string(text)
		return err
	})
}

// trial is a config repo that is made ready.
type trial struct {
	shop    *testworld.Shop
	files   map[string]string
	targets []environments.Target
	builder *sealedrender.Pool
	stood   map[string]name.Digest // stand-ins, by application
}

// render renders a target as the files are now.
func (t *trial) render(ctx context.Context, target environments.Target) (_ render.Release, err error) {
	copied, err := os.MkdirTemp("", "pawl-trial-files-")
	if err != nil {
		return render.Release{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	for p, text := range t.files {
		file := filepath.Join(copied, filepath.FromSlash(p))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			return render.Release{}, err
		}
	}
	tree, err := worktree.Read(copied)
	if err != nil {
		return render.Release{}, err
	}
	result, err := render.New(render.Options{Build: t.builder}).Render(ctx, gitsync.Revision{Tree: tree}, target)
	return result.Release, err
}

// standIn pushes an image for each one that an overlay uses and names it in the
// overlay's images:, which must not be there yet.
func (t *trial) standIn(ctx context.Context) error {
	for _, target := range t.targets {
		_, err := t.render(ctx, target)
		var unpinned *render.UnpinnedError
		if !errors.As(err, &unpinned) {
			return fmt.Errorf("%s: the overlay was to have unpinned images: %w", target, err)
		}
		entries := map[string]string{}
		for _, image := range unpinned.Images() {
			written := strings.TrimSuffix(image.Reference, ":"+image.Tag) // a registry may have a port
			digest, err := t.push(ctx, path.Base(written))
			if err != nil {
				return err
			}
			entries[written] = fmt.Sprintf("  - name: %s\n    newName: %s\n    digest: %s\n", written, digest.Context().Name(), digest.DigestStr())
		}
		file := path.Join(target.Overlay, "kustomization.yaml")
		t.files[file] += "images:\n" + strings.Join(slices.Sorted(maps.Values(entries)), "")
		fmt.Printf("%s: stand-ins for %s\n", target, strings.Join(slices.Sorted(maps.Keys(entries)), ", "))
	}
	return nil
}

// builder is who built the stand-ins, as their provenance says.
const builder = "https://ci.test/builder"

// push pushes an application's stand-in, signed and with provenance, once.
func (t *trial) push(ctx context.Context, application string) (name.Digest, error) {
	if digest, ok := t.stood[application]; ok {
		return digest, nil
	}
	digest, err := t.shop.Push(ctx, application, "trial", application, true)
	if err != nil {
		return name.Digest{}, err
	}
	said := images.ProvenanceV1(images.Build{
		Builder: builder, Source: "https://github.com/acme/" + application, Ref: "refs/heads/main", Commit: strings.Repeat("a1", 20),
	})
	t.stood[application] = digest
	return digest, images.Attest(ctx, digest, t.shop.Key, said.Type, said.Content, images.Bundle, t.shop.World.Registry.Client()...)
}
