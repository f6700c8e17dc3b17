package demands

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// PipelineFile is where a config repo keeps its pipeline.
const PipelineFile = "pawl.yaml"

// Repository is the config repo at a revision: its pipeline, and the targets
// it has.
type Repository struct {
	Revision gitsync.Revision
	Pipeline environments.Pipeline
	Targets  []environments.Target
	// Unusable are overlays, and whole environments, that cannot be worked on.
	Unusable []*environments.Unusable
}

// ReadRepository reads pawl.yaml and finds the targets of a revision.
func ReadRepository(rev gitsync.Revision) (Repository, error) {
	data, err := rev.Tree.Read(PipelineFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Repository{}, &PipelineMissing{rev.Commit}
	}
	if err != nil {
		return Repository{}, err
	}
	pipeline, err := environments.Load(PipelineFile, data)
	if err != nil {
		return Repository{}, err
	}
	found, unusable := pipeline.Targets(rev.Tree.FS())
	return Repository{Revision: rev, Pipeline: pipeline, Targets: found, Unusable: unusable}, nil
}

// ImageFields are the fields of custom resources with images that pawl.yaml names.
func (r Repository) ImageFields() []render.KindFields {
	var fields []render.KindFields
	for _, f := range r.Pipeline.Spec.Images {
		fields = append(fields, render.KindFields{Group: f.Group, Kind: f.Kind, Fields: f.Fields})
	}
	return fields
}

// PipelineMissing says that a commit has no pawl.yaml.
type PipelineMissing struct{ Commit gitsync.Commit }

func (e *PipelineMissing) Error() string {
	return fmt.Sprintf("commit %s has no %s in its root", e.Commit.Short(), PipelineFile)
}
