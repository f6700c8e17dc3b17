package cosign_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/pawl-dev/pawl/policies"
)

// refused says that the image is refused, for this reason.
func (w *world) refused(d name.Digest, reason string) {
	w.Helper()
	v, err := w.judge(d)
	var refusal *policies.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), reason) || !v.IsZero() {
		w.Fatalf("got  %v\nwant a refusal with %q", err, reason)
	}
	for _, i := range refusal.Images {
		if len(i.Found) > 1500 {
			w.Errorf("the reason is %d bytes long", len(i.Found))
		}
	}
}

// without takes a field out of a JSON object.
func without(t *testing.T, object []byte, field string) []byte {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatal(err)
	}
	if _, ok := fields[field]; !ok {
		t.Fatalf("there is no %s", field)
	}
	delete(fields, field)
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
