package sealed

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// prober is a worker whose jobs are probes: tests see a child from inside. Only
// this test binary has it.
func prober(name string) Worker {
	return Worker{Name: name, Start: func(parent *Parent) func(Message) error {
		return func(m Message) error {
			var j probe
			if err := m.Decode(&j); err != nil {
				return err
			}
			j.parent = parent
			text := "done"
			if try, ok := probes[j.Name]; ok {
				if err := try(j); err != nil {
					text = "refused: " + err.Error()
				}
			}
			return parent.Send(kindFound, found{text}, nil)
		}
	}}
}

const (
	kindProbe Kind = iota + 1
	kindFound
)

// probe is a job: what to try, and on whom.
type probe struct {
	Name    string
	Address string `json:",omitempty"`
	PID     int    `json:",omitempty"`

	parent *Parent
}

type found struct{ Text string }

const probed = "pawl-probe"

// seals are the probes' kinds of children: as they are, held back by Landlock
// alone, and by nothing of the kernel's.
var seals = map[string]func(settings) Guards{
	probed:               func(s settings) Guards { idleThreads(); return seal(s) },
	probed + "-landlock": func(settings) (g Guards) { idleThreads(); g.confine(); return g },
	probed + "-bare":     func(settings) Guards { return Guards{} },
}

func TestMain(m *testing.M) {
	if seal, ok := seals[os.Args[0]]; ok {
		os.Exit(live(prober(os.Args[0]), seal))
	}
	Main(prober("pawl-other"))
	os.Exit(m.Run())
}

// pool is one for a test.
func pool(t testing.TB, o Options) *Pool {
	t.Helper()
	p := New(prober(probed), o)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

const enough = 64 << 20

// do has a child try what has a name, with an hour for it, and returns what it
// found.
func do(t testing.TB, p *Pool, name string) (string, error) {
	return doWithin(t, p, probe{Name: name}, time.Hour)
}

func doWithin(t testing.TB, p *Pool, j probe, within time.Duration) (text string, err error) {
	err = p.Do(t.Context(), enough, try(j, within, &text))
	return text, err
}

func try(j probe, within time.Duration, text *string) Job {
	return func(c *Child) (bool, error) {
		c.Deadline(within)
		if err := c.Send(kindProbe, j, nil); err != nil {
			return true, err
		}
		m, err := c.Receive(1 << 20)
		if err != nil {
			return true, err
		}
		if m.Kind != kindFound {
			return true, Unexpected(m)
		}
		var f found
		err = m.Decode(&f)
		*text = f.Text
		return false, err
	}
}

// reason is why a child ended, "" if it did not.
func reason(err error) Reason {
	var ended *Ended
	if !errors.As(err, &ended) {
		return ""
	}
	return ended.Reason
}

// idleThreads leaves threads behind that were there before the sealing, to be
// used by whatever needs one after it.
func idleThreads() {
	var all sync.WaitGroup
	together := make(chan struct{})
	all.Add(16)
	for range 16 {
		go func() {
			runtime.LockOSThread()
			all.Done()
			<-together
			runtime.UnlockOSThread()
			all.Done()
		}()
	}
	all.Wait()
	all.Add(16)
	close(together)
	all.Wait()
}
