package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/gitsync"
	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
)

const (
	kindJob  sealed.Kind = iota + 1 // parent: what to build
	kindStat                        // child: a question about a path, answered before the next
	kindRead
	kindList
	kindAnswer // parent
	kindBuilt  // child: the end of a job
	kindFailed
)

// order is a job on the wire.
type order struct {
	Target environments.Target
	Limits render.Limits
}

// question about a path.
type question struct{ Path string }

// reply to a question; a file's content is the body.
type reply struct {
	Entry gitsync.Entry
	Names []string `json:",omitempty"`
	Fault *fault   `json:",omitempty"`
}

// product is the end of a build that succeeded; the body has its objects, one a
// line.
type product struct {
	Kustomizations []render.Kustomization
	Manifests      []render.Manifest
	OwnSchema      bool
}

// failure is the end of a build that failed.
type failure struct {
	Fault *fault
	Spent bool `json:",omitempty"` // the child is not to build anything else
}

// fault is an error on the wire. What callers tell apart keeps its type and its
// fields, everything else its text.
type fault struct {
	At         *located           `json:",omitempty"`
	Empty      *render.Empty      `json:",omitempty"`
	Exceeded   *render.Exceeded   `json:",omitempty"`
	Unfinished *render.Unfinished `json:",omitempty"`
	Panicked   *render.Panicked   `json:",omitempty"`
	NotExist   bool               `json:",omitempty"`
	Text       string             `json:",omitempty"`
	Wraps      *fault             `json:",omitempty"`
}

// located is an *render.Error without its cause.
type located struct {
	Target              environments.Target
	File, Object, Field string
	Line                int
}

func faultOf(err error) *fault {
	switch e := err.(type) { //nolint:errorlint // each layer is taken by itself
	case nil:
		return nil
	case *render.Error:
		return &fault{At: &located{e.Target, e.File, e.Object, e.Field, e.Line}, Wraps: faultOf(e.Err)}
	case *render.Empty:
		return &fault{Empty: e}
	case *render.Exceeded:
		return &fault{Exceeded: e}
	case *render.Unfinished:
		return &fault{Unfinished: e}
	case *render.Panicked:
		return &fault{Panicked: e}
	}
	if err == fs.ErrNotExist { //nolint:errorlint // the very one
		return &fault{NotExist: true}
	}
	return &fault{Text: err.Error(), Wraps: faultOf(errors.Unwrap(err))}
}

func (f *fault) err() error {
	switch {
	case f == nil:
		return nil
	case f.At != nil:
		cause := f.Wraps.err()
		if cause == nil {
			cause = errors.New("no reason is given")
		}
		return &render.Error{Target: f.At.Target, File: f.At.File, Line: f.At.Line, Object: f.At.Object, Field: f.At.Field, Err: cause}
	case f.Empty != nil:
		return f.Empty
	case f.Exceeded != nil:
		return f.Exceeded
	case f.Unfinished != nil:
		return f.Unfinished
	case f.Panicked != nil:
		return f.Panicked
	case f.NotExist:
		return fs.ErrNotExist
	}
	return &distant{strings.ToValidUTF8(f.Text[:min(len(f.Text), 4096)], ""), f.Wraps.err()}
}

// distant is an error of the other side.
type distant struct {
	text  string
	cause error
}

func (e *distant) Error() string { return e.text }
func (e *distant) Unwrap() error { return e.cause }

// encodeObjects writes one object a line, at most limit bytes.
func encodeObjects(objects []map[string]any, limit int64) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for _, o := range objects {
		if err := encoder.Encode(o); err != nil {
			return nil, err
		}
		if int64(b.Len()) > limit {
			return nil, &render.Exceeded{Limit: "output", What: fmt.Sprintf("renders to more than %d bytes of JSON, the limit", limit)}
		}
	}
	return b.Bytes(), nil
}

// decodeObjects reads them as package render would have made them: whole
// numbers are int64.
func decodeObjects(lines []byte, most int) ([]map[string]any, error) {
	var objects []map[string]any
	for line := range bytes.Lines(lines) {
		if len(objects) > most {
			break // one more than may be, which is all that the limit needs
		}
		var o map[string]any
		if err := utiljson.Unmarshal(line, &o); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}
