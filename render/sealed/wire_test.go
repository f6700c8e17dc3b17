package sealed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pawl-dev/pawl/internal/sealed"
	"github.com/pawl-dev/pawl/render"
)

// What callers tell apart is the same on both sides, with all that it says.
func TestErrorsSurviveThePipe(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&render.Error{Target: target("shop"), File: "a.yaml", Line: 3, Object: "Deployment web", Field: "spec", Err: errors.New("is odd")},
		&render.Error{File: "a.yaml", Err: &render.Exceeded{Limit: "depth", What: "is deep"}},
		&render.Error{File: "a.yaml", Err: fmt.Errorf("path: %w", &render.Error{File: "b.yaml", Err: &render.Unfinished{Reason: "time", What: "late"}})},
		&render.Error{Err: &render.Panicked{What: "out of range"}},
		&render.Empty{Target: target("shop"), File: "k.yaml", Reason: "says nothing"},
		&fs.PathError{Op: "read", Path: "x", Err: fs.ErrNotExist},
		fmt.Errorf("outer: %w", errors.New("inner")),
	} {
		text, encodeErr := json.Marshal(faultOf(err))
		if encodeErr != nil {
			t.Fatal(encodeErr)
		}
		var f fault
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		got := f.err()
		if got.Error() != err.Error() || errors.Is(got, fs.ErrNotExist) != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v became %v", err, got)
		}
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", err) && errors.As(err, new(*render.Error)) {
			t.Errorf("%T became %T", err, got)
		}
		var before, after *render.Error
		if errors.As(err, &before) && errors.As(got, &after) {
			a, b := *before, *after
			a.Err, b.Err = nil, nil
			if diff := cmp.Diff(a, b); diff != "" {
				t.Error(diff)
			}
		}
		for _, kind := range []any{new(*render.Exceeded), new(*render.Unfinished), new(*render.Panicked), new(*render.Empty)} {
			if errors.As(err, kind) != errors.As(got, kind) {
				t.Errorf("%v: %T is lost", err, kind)
			}
		}
	}
}

func TestObjectsSurviveThePipe(t *testing.T) {
	t.Parallel()
	objects := []map[string]any{
		{"int": int64(math.MaxInt64), "negative": int64(-1), "float": 1.5, "text": "<&>\u2028 \"\n", "null": nil, "list": []any{true, map[string]any{}}},
		{},
	}
	lines, err := encodeObjects(objects, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeObjects(lines, 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(objects, got); diff != "" {
		t.Error(diff)
	}
	if _, err := encodeObjects(objects, 10); err == nil {
		t.Error("more than the limit was sent")
	}
}

// Whatever a child says of a build, there is an error, or objects.
func FuzzFailure(f *testing.F) {
	f.Add([]byte(`{"Fault":{"Text":"odd"}}`), []byte(`{"kind":"ConfigMap"}`+"\n"))
	f.Add([]byte("{}"), []byte{})
	f.Fuzz(func(t *testing.T, header, body []byte) {
		var failed failure
		if (sealed.Message{Header: header}).Decode(&failed) == nil {
			if err := ofBuild(failed.Fault.err(), target("shop")); err == nil || err.Error() == "" {
				t.Errorf("a failure became %v", err)
			}
		}
		_, _ = decodeObjects(body, 100)
	})
}
