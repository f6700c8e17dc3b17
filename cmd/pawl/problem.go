package main

import (
	"errors"

	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// problem is one thing that is wrong in a config repo, for programs that put
// it beside the line that it is about. What is not known is left out.
type problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Object string `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`
	Text   string `json:"text"`
}

// problemsOf takes an error of reading or rendering apart.
func problemsOf(err error) []problem {
	var (
		document *environments.Problems
		unusable *environments.Unusable
		broken   *render.Error
		empty    *render.Empty
		unpinned *render.UnpinnedError
		demanded *demands.RepositoryProblem
		refused  *drift.Rejected
	)
	switch {
	case errors.As(err, &document):
		var list []problem
		for _, p := range document.List {
			list = append(list, problem{File: p.File, Line: p.Line, Field: p.Path, Text: p.Message})
		}
		return list
	case errors.As(err, &unpinned):
		var list []problem
		for _, u := range unpinned.Unpinned {
			list = append(list, problem{File: u.File, Line: u.Line, Object: u.Object, Field: u.Field, Text: "image " + u.Reference + " is not pinned"})
		}
		return list
	case errors.As(err, &demanded):
		return []problem{{File: demands.PipelineFile, Field: demanded.Field, Text: demanded.Err.Error()}}
	case errors.As(err, &refused):
		var list []problem
		for _, p := range refused.Problems {
			list = append(list, problem{File: p.File, Line: p.Line, Object: p.Object.String(), Field: p.Field, Text: p.Reason})
		}
		return list
	case errors.As(err, &unusable):
		return []problem{{File: unusable.Target.Overlay, Text: unusable.Reason}}
	case errors.As(err, &empty):
		return []problem{{File: empty.File, Text: empty.Reason}}
	case errors.As(err, &broken):
		return []problem{{File: broken.File, Line: broken.Line, Object: broken.Object, Field: broken.Field, Text: broken.Err.Error()}}
	default:
		return []problem{{Text: err.Error()}}
	}
}
