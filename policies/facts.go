package policies

import (
	"time"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/render"
)

// Facts are all that a policy is told of a release.
type Facts struct {
	Release     render.Release
	Environment environments.Environment
	// Level is the environment's compliance level, empty where it has none;
	// "pci+standard", in this order, where several are named.
	Level string
	// Images is the evidence by Image.Pinned.
	Images map[string]Evidence
	// Change is nil if the release brings nothing new to its target.
	Change *Change
	// At is when it is judged: policies have no clock of their own.
	At time.Time
}
