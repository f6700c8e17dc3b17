package cosign

import (
	"time"

	"github.com/pawl-dev/pawl/policies"
)

// CheckRoot tells whether a trust root can be used to verify what it demands.
// The error goes on after the root's name: "cannot be read; give it …". That
// everything in it has ended is no error here, because that comes with time:
// Collect says so for each signature.
func CheckRoot(r policies.Root) error {
	m, err := readMaterial(r.JSON)
	if err != nil {
		return err
	}
	_, err = m.usable(r, time.Time{}) // before anything ended
	return err
}
