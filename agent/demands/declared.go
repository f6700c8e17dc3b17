package demands

import (
	"context"
	"errors"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// Declared tells what targets declare, as they are built. Whether that may be
// applied does not matter: who declares an object wants it. unknown are those
// that cannot be built. Beside an error, which is that ctx ended, declared is
// what was found until then.
func Declared(ctx context.Context, targets []environments.Target, build func(environments.Target) (render.Result, error)) (declared map[environments.Target][]drift.ObjectID, unknown []environments.Target, err error) {
	declared = make(map[environments.Target][]drift.ObjectID, len(targets))
	for _, t := range targets {
		built, err := build(t)
		var unpinned *render.UnpinnedError
		switch {
		case errors.As(err, &unpinned):
			declared[t] = drift.IDsOf(unpinned.Objects)
		case ctx.Err() != nil:
			return declared, unknown, ctx.Err()
		case err != nil:
			unknown = append(unknown, t)
		default:
			declared[t] = drift.IDsOf(built.Release.Objects)
		}
	}
	return declared, unknown, nil
}
