package render

import (
	"context"
	"fmt"
	"math"
	"sync"

	"golang.org/x/sync/semaphore"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// build runs kustomize on an overlay that was scanned, and returns its objects
// as they come. It is the only place that runs kustomize.
//
// What kustomize knows of kinds is one schema for the whole process, and an
// openapi: field replaces it for every build after. So such a build runs alone
// and leaves a fresh schema behind, while all others share the one that is
// there, which is found to be untouched and never read again: that reading
// would be half the cost of a build.
//
// A build in this process can be neither cancelled nor bounded in memory.
func build(ctx context.Context, fsys *treeFS, overlay string, ownSchema bool) (objects []map[string]any, err error) {
	free, err := sharedKinds.use(ctx, ownSchema)
	if err != nil {
		return nil, err
	}
	defer free()
	defer func() {
		if p := recover(); p != nil {
			objects, err = nil, &Panicked{fmt.Sprint(p)}
		}
	}()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fsys, string(absolute(overlay)))
	if err != nil {
		return nil, err
	}
	for _, r := range built.Resources() {
		object, err := decode(&r.RNode)
		if err != nil {
			return nil, &Error{Object: r.GetKind() + " " + r.GetName(), Err: err}
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// sharedKinds guards kustomize's schema of Kubernetes kinds.
var sharedKinds = &sharedSchema{users: semaphore.NewWeighted(math.MaxInt32)}

type sharedSchema struct {
	users *semaphore.Weighted
	once  sync.Once
	kinds int // definitions in the built-in schema
}

// use waits until a build may begin and returns what to call at its end. Alone
// means that the build may change the schema.
func (s *sharedSchema) use(ctx context.Context, alone bool) (func(), error) {
	if !alone {
		if err := s.users.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		s.once.Do(func() { s.kinds = len(openapi.Schema().Definitions) })
		if openapi.GetSchemaVersion() == openapi.DefaultOpenAPI && len(openapi.Schema().Definitions) == s.kinds {
			return func() { s.users.Release(1) }, nil
		}
		s.users.Release(1)
	}
	if err := s.users.Acquire(ctx, math.MaxInt32); err != nil {
		return nil, err
	}
	// Empty, as in a process that only runs kustomize: a schema of one's own
	// stands instead of the built-in one, not beside it.
	openapi.ResetOpenAPI()
	return func() {
		s.reset()
		s.users.Release(math.MaxInt32)
	}, nil
}

// reset brings the built-in schema back, already read.
func (s *sharedSchema) reset() {
	openapi.ResetOpenAPI()
	kinds := len(openapi.Schema().Definitions)
	s.once.Do(func() { s.kinds = kinds })
}
