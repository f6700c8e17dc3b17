//go:build !linux

package lease

import "time"

// now is monotonic.
func now() time.Duration { return time.Since(began) }

var began = time.Now()
