package canary_test

import (
	"io"
	"net"
	"testing"

	"github.com/pawl-dev/pawl/internal/testworld/canary"
)

// ending is a test that this one ends.
type ending struct {
	testing.TB
	end    func()
	failed bool
}

func (e *ending) Cleanup(end func())    { e.end = end }
func (e *ending) Errorf(string, ...any) { e.failed = true }

func TestWhoComesFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, comes := range []bool{false, true} {
		e := &ending{TB: t}
		address := canary.Listen(e)
		if comes {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(c) // until it was seen
			_ = c.Close()
		}
		if e.end(); e.failed != comes {
			t.Errorf("somebody comes: %v, failed: %v", comes, e.failed)
		}
	}
}
