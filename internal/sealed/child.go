package sealed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Worker is one kind of children.
type Worker struct {
	// Name is what its children are called, alone: no flags, no arguments. Nobody's
	// command line looks like this.
	Name string
	// Start readies a child, once it is sealed, and returns what does a job there.
	// An error of it ends the child.
	Start func(*Parent) (work func(Message) error)
}

// Main is to be called first in main, and in TestMain where tests use a Pool,
// with every worker that pools are made for. In a process that was started to be
// a child it never returns; in any other it does nothing.
func Main(workers ...Worker) {
	for _, w := range workers {
		if len(os.Args) == 1 && os.Args[0] == w.Name {
			os.Exit(live(w, seal))
		}
	}
}

// settings of a child, for all of its life.
type settings struct {
	Memory int64
}

// live is a child's life: it seals itself, then does what it is told to until
// its parent closes the pipe.
func live(worker Worker, seal func(settings) Guards) int {
	from, out, err := pipes()
	if err != nil {
		fmt.Fprintln(os.Stderr, worker.Name+" is started by pawl alone:", err)
		return 2
	}
	in := bufio.NewReader(from)
	first, err := receive(in, MaxHeader)
	var s settings
	if err != nil || first.Kind != kindStart || first.Decode(&s) != nil {
		fmt.Fprintln(os.Stderr, worker.Name+" is started by pawl alone")
		return 2
	}
	forgetTheWorld(s)
	p := &Parent{out: out, inbox: make(chan Message)}
	// Until now nothing of a stranger's was read. After seal nothing can be had
	// but what comes by the pipe.
	guards := seal(s)
	if err := p.Send(kindReady, guards, nil); err != nil {
		return 1
	}
	go p.listen(in)
	work := worker.Start(p)
	for {
		if err := work(p.next()); err != nil {
			return 1
		}
	}
}

// Parent is a child's other end.
type Parent struct {
	out   io.Writer
	inbox chan Message
}

// Send says something to the parent.
func (p *Parent) Send(k Kind, header any, body []byte) error { return send(p.out, k, header, body) }

// Receive waits for what the parent says next.
func (p *Parent) Receive() Message { return <-p.inbox }

// listen ends the process as soon as the parent is gone or wants it gone, in
// the middle of a job as well.
func (p *Parent) listen(in io.Reader) {
	for {
		m, err := receive(in, 1<<40) // the parent is trusted
		if err != nil {
			os.Exit(0)
		}
		p.inbox <- m
	}
}

// next is the next job. A child that waits for it longer than from one to the
// next returns memory to the system.
func (p *Parent) next() Message {
	pause := time.NewTimer(time.Second / 4)
	defer pause.Stop()
	select {
	case m := <-p.inbox:
		return m
	case <-pause.C:
		giveBack()
		return <-p.inbox
	}
}

// idleMemory is what a child may keep between jobs, of which most use less: what
// one large job needed does not stay with the pod.
const idleMemory = 64 << 20

func giveBack() {
	use := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(use)
	if use[0].Value.Uint64()-use[1].Value.Uint64() > idleMemory {
		debug.FreeOSMemory()
	}
}

// forgetTheWorld removes what any job in this process could reach for, whatever
// the system offers against it.
func forgetTheWorld(s settings) {
	http.DefaultTransport = refuse{}
	http.DefaultClient = &http.Client{Transport: refuse{}}
	os.Clearenv()
	time.Local = time.UTC
	// A child is small and short-lived: the collector may take its time until the
	// bound is near, and works against it before it is hit.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(s.Memory / 100 * 85)
}

// refuse is the transport of a process without a network.
type refuse struct{}

func (refuse) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, errors.New("this process has no network")
}
