package render

import (
	"context"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
)

// Builder reads and builds what strangers wrote. Where it does so is its own
// matter: InProcess does it here, package sealed in a child process that has
// nothing but the files it asks for.
//
// Its errors are *Error and *Empty where the overlay is to blame; an *Error
// with an *Unfinished in it where the build was stopped; and others, which say
// nothing about the overlay, where it could not be built at all.
type Builder interface {
	Build(ctx context.Context, job Job) (Built, error)
}

// Job is one overlay to build.
type Job struct {
	Target environments.Target
	Limits Limits // without zeros
	Files  Files
}

// Files are a revision's files as a build sees them. Paths are those of
// gitsync.Tree. The errors are *Error where a build may not have what it asks
// for, and fs.ErrNotExist for what is not there.
type Files interface {
	// Stat says what stands at a path; the entry is zero where nothing does.
	Stat(path string) (gitsync.Entry, error)
	Read(path string) ([]byte, gitsync.Entry, error)
	List(folder string) ([]string, error)
}

// Built is what came out of a build. Whoever gets it judges the objects anew
// and takes from the rest only where things stand, for messages.
type Built struct {
	Objects        []map[string]any
	Kustomizations []Kustomization // that were read, the overlay's own first
	Manifests      []Manifest      // files that declare or patch objects
	// OwnSchema says that the overlay replaced kustomize's schema for the build.
	OwnSchema bool
}

// Kustomization is a kustomization file and what its images: says.
type Kustomization struct {
	File   string
	Images []ImageEntry
}

// ImageEntry is an entry of a kustomization's images:.
type ImageEntry struct {
	Name, NewName, Digest string
	Line                  int // of the entry
	DigestLine            int // of its digest, 0 if it has none
}

// Manifest is a file and the objects that it declares, or patches.
type Manifest struct {
	File      string
	Patch     bool
	Documents []Document
}

// Document is an object as a file has it: a prefix or a namespace may be added
// to it in the build.
type Document struct {
	Kind, Name string
	Line       int
	Pinned     []Written // what is written with a digest
}

// Written is a text of a manifest.
type Written struct {
	Text string
	Line int
}

// InProcess builds in this process, where a build can be neither cancelled nor
// bounded in time and memory.
func InProcess() Builder { return new(inProcess) }

type inProcess struct{ known knownFiles }

func (b *inProcess) Build(ctx context.Context, job Job) (Built, error) {
	fsys := newTreeFS(job.Files)
	overlay, err := overlayFolder(fsys, job.Target)
	if err != nil {
		return Built{}, placed(err, job.Target)
	}
	s := &scan{ctx: ctx, fs: fsys, limits: job.Limits, known: &b.known, done: map[string]bool{}}
	if err := s.folder(overlay); err != nil {
		return Built{}, placed(err, job.Target)
	}
	objects, err := build(ctx, fsys, overlay, s.openAPI)
	if fsys.refused != nil {
		return Built{}, placed(fsys.refused, job.Target)
	}
	if err != nil {
		return Built{}, placed(s.explain(err), job.Target)
	}
	return s.built(objects), nil
}
