package drift

import (
	"errors"
	"slices"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// Check finds what no API server needs to be asked for: words of objects that
// are not known, and exceptions that are not possible. The error is *Rejected.
func Check(release render.Release, e environments.Environment) error {
	wanted, err := Want(release.Objects, MarkFor("", release.Target))
	if err == nil {
		looks := map[ObjectID][]render.Image{}
		for _, o := range release.Objects {
			for _, image := range slices.Concat(release.Images, release.Unlisted) {
				if image.Object == NameOf(o) {
					looks[IDOf(o)] = append(looks[IDOf(o)], image)
				}
			}
		}
		err = Except(wanted, e.Ignore, looks)
	}
	var refused *Rejected
	if errors.As(err, &refused) {
		refused.Target, refused.Offline = release.Target, true
		refused.Locate(release.Places)
	}
	return err
}
