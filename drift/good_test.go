package drift_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

// FuzzGood keeps an object and reads it again. It is exactly what it was, or its
// digest is another one and it can never return.
//
// catalogue 120
func FuzzGood(f *testing.F) {
	for _, spec := range []string{
		`{"whole": 9007199254740993}`,
		`{"negative": [-9007199254740993, -9223372036854775808, 9223372036854775807]}`,
		`{"beyond": 9223372036854775808, "huge": 1e21, "tiny": 1e-9}`,
		`{"fraction": 0.1, "written with a point": 1.0, "zero": -0.0}`,
		`{"text": "9007199254740993 <&> \u2028", "none": null, "yes": true, "Empty": {}, "empty": []}`,
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		var object map[string]any
		if utiljson.Unmarshal([]byte(spec), &object) != nil || object == nil {
			return
		}
		object = handedOver(t, object)
		kept := drift.Good{
			Release:  render.Release{Target: environments.Target{Environment: "dev", Application: "web"}, Commit: "8d2e1a7", Digest: "sha256:1", Objects: []*unstructured.Unstructured{{Object: object}}},
			Evidence: []policies.Evidence{{Image: "a@sha256:1", Exists: true, Attestations: []policies.Attestation{{Type: "scan", Predicate: []byte(spec)}}}},
			Terms:    drift.Terms{Environment: environments.Environment{Name: "dev", Drift: environments.DriftCorrect}, Demands: "strict"},
			At:       time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC),
		}
		content, err := kept.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := drift.DecodeGood(content)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(kept, read); diff != "" {
			t.Error(diff)
		}
	})
}

// handedOver is an object as the child that renders it hands it over.
func handedOver(t *testing.T, o map[string]any) (object map[string]any) {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = utiljson.Unmarshal(text, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}
