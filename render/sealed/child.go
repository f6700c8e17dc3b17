package sealed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/render"
)

// childName is what a child is called, alone: no flags, no arguments. Nobody's
// command line looks like this.
const childName = "pawl-render-child"

// Main is to be called first in main, and in TestMain where tests use a Pool.
// In a process that was started to be a child it never returns; in any other it
// does nothing.
func Main() {
	if len(os.Args) == 1 && os.Args[0] == childName {
		os.Exit(live(render.InProcess(), seal))
	}
}

// live is a child's life: it seals itself, then builds what it is told to until
// its parent closes the pipe.
func live(builder render.Builder, seal func(settings) Guards) int {
	from, out, err := pipes()
	if err != nil {
		fmt.Fprintln(os.Stderr, childName+" is started by pawl alone:", err)
		return 2
	}
	in := bufio.NewReader(from)
	k, header, _, err := receive(in, maxHeader)
	var s settings
	if err != nil || k != kindStart || json.Unmarshal(header, &s) != nil {
		fmt.Fprintln(os.Stderr, childName+" is started by pawl alone")
		return 2
	}
	forgetTheWorld(s)
	c := &child{out: out, builder: builder, inbox: make(chan message)}
	// Until now nothing of a stranger's was read. After seal nothing can be had
	// but what comes by the pipe.
	guards := seal(s)
	if err := send(out, kindReady, guards, nil); err != nil {
		return 1
	}
	go c.listen(in)
	openapi.Schema() // what every build needs is read before there is one
	for m := range c.inbox {
		if m.kind != kindJob {
			return 2
		}
		if err := c.build(m); err != nil {
			return 1
		}
		giveBack()
	}
	return 0
}

// idleMemory is what a child may keep between builds, of which most builds use
// less: what one large overlay needed does not stay with the pod.
const idleMemory = 64 << 20

// giveBack returns memory to the system after a build that took much.
func giveBack() {
	use := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(use)
	if use[0].Value.Uint64()-use[1].Value.Uint64() > idleMemory {
		debug.FreeOSMemory()
	}
}

// forgetTheWorld removes what any build in this process could reach for,
// whatever the system offers against it.
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
	return nil, errors.New("rendering has no network")
}

type message struct {
	kind         kind
	header, body []byte
}

type child struct {
	out     io.Writer
	builder render.Builder
	inbox   chan message
}

// listen ends the process as soon as the parent is gone or wants it gone, in
// the middle of a build as well.
func (c *child) listen(in io.Reader) {
	for {
		k, header, body, err := receive(in, 1<<40) // the parent is trusted
		if err != nil {
			os.Exit(0)
		}
		c.inbox <- message{k, header, body}
	}
}

func (c *child) build(m message) error {
	var o order
	if err := json.Unmarshal(m.header, &o); err != nil {
		return err
	}
	made, err := c.builder.Build(context.Background(), render.Job{Target: o.Target, Limits: o.Limits, Files: c})
	if err == nil {
		var objects []byte
		if objects, err = encodeObjects(made.Objects, o.Limits.Output); err == nil {
			return send(c.out, kindBuilt, product{made.Kustomizations, made.Manifests, made.OwnSchema}, objects)
		}
		file := ""
		if len(made.Kustomizations) > 0 {
			file = made.Kustomizations[0].File
		}
		err = &render.Error{Target: o.Target, File: file, Err: err}
	}
	return send(c.out, kindFailed, failure{faultOf(err), errors.As(err, new(*render.Panicked))}, nil)
}

// ask is a question to the parent.
func (c *child) ask(k kind, p string) (reply, []byte, error) {
	if err := send(c.out, k, question{p}, nil); err != nil {
		return reply{}, nil, err
	}
	m := <-c.inbox
	var r reply
	if err := json.Unmarshal(m.header, &r); err != nil {
		return reply{}, nil, err
	}
	return r, m.body, r.Fault.err()
}

// The child is its builds' files.

func (c *child) Stat(p string) (gitsync.Entry, error) {
	r, _, err := c.ask(kindStat, p)
	return r.Entry, err
}

func (c *child) Read(p string) ([]byte, gitsync.Entry, error) {
	r, content, err := c.ask(kindRead, p)
	return content, r.Entry, err
}

func (c *child) List(folder string) ([]string, error) {
	r, _, err := c.ask(kindList, folder)
	return r.Names, err
}
