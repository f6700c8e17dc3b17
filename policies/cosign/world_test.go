package cosign_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

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

// field is a list in a JSON object.
func field(t *testing.T, object []byte, name string) (list []json.RawMessage) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(fields[name], &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// with is the object with another list in that field.
func with(t *testing.T, object []byte, name string, list []json.RawMessage) []byte {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(object, &fields); err != nil {
		t.Fatal(err)
	}
	if _, ok := fields[name]; !ok {
		t.Fatalf("there is no %s", name)
	}
	fields[name] = list
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// multiply writes the tag of signatures or attestations anew, with the first
// one many times.
func (w *world) multiply(d name.Digest, suffix string, times int) {
	w.Helper()
	url := fmt.Sprintf("%s/v2/acme/web/manifests/%s%s", w.registry.URL(), strings.Replace(d.DigestStr(), ":", "-", 1), suffix)
	resp, err := http.Get(url)
	w.must(err)
	defer resp.Body.Close()
	var m v1.Manifest
	w.must(json.NewDecoder(resp.Body).Decode(&m))
	for len(m.Layers) < times {
		m.Layers = append(m.Layers, m.Layers[0])
	}
	raw, err := json.Marshal(m)
	w.must(err)
	req, err := http.NewRequestWithContext(w.Context(), http.MethodPut, url, bytes.NewReader(raw))
	w.must(err)
	req.Header.Set("Content-Type", string(m.MediaType))
	put, err := http.DefaultClient.Do(req)
	w.must(err)
	defer put.Body.Close()
	if put.StatusCode != http.StatusCreated {
		w.Fatalf("the registry says %s", put.Status)
	}
}
