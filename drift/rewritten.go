package drift

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/render"
)

// Rewritten finds the images that the API server's answer has otherwise than
// they were declared: admission changed them on the way in. What then runs was
// not verified. The same digest from another place is the same image.
func Rewritten(declared, answer *unstructured.Unstructured, images []render.Image) []Change {
	var changes []Change
	for _, image := range images {
		want, got := sameField(declared.Object, answer.Object, image.Field)
		if want == nil {
			continue // is of another object that is called the same
		}
		if sameImage(want, got, image.Digest) {
			continue
		}
		changes = append(changes, Change{Path: image.Field, From: text(got), To: image.Reference})
	}
	return changes
}

// RewrittenReason says what it means.
func RewrittenReason(c Change) string {
	got := c.From
	if got == "" {
		got = "nothing"
	}
	return fmt.Sprintf("admission in the cluster (a mutating webhook or policy) makes %s of it, which was not verified; exempt the object from that, or commit the image that is to run", got)
}

// sameImage compares what was declared with what came of it. An image may be
// written in parts; the server may add others.
func sameImage(want, got any, digest string) bool {
	if want, composed := want.(map[string]any); composed {
		g, ok := got.(map[string]any)
		for key, value := range want {
			ok = ok && reflect.DeepEqual(value, g[key])
		}
		return ok
	}
	if reflect.DeepEqual(want, got) {
		return true
	}
	s, _ := got.(string)
	_, pinned, ok := strings.Cut(s, "@")
	return ok && pinned == digest
}

// sameField follows a path like "spec.containers[0].image" through two objects
// at once. Items of lists are found by their name, as admission may put others
// before them.
func sameField(declared, answer any, path string) (want, got any) {
	for path != "" {
		var key string
		if rest, bracket := strings.CutPrefix(path, "["); bracket {
			key, path, _ = strings.Cut(rest, "]")
		} else if end := strings.IndexAny(path, ".["); end >= 0 {
			key, path = path[:end], path[end:]
		} else {
			key, path = path, ""
		}
		path = strings.TrimPrefix(path, ".")
		switch d := declared.(type) {
		case map[string]any:
			a, _ := answer.(map[string]any)
			declared, answer = d[key], a[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(d) {
				return nil, nil
			}
			items, _ := answer.([]any)
			declared, answer = d[i], counterpart(d[i], items, i)
		default:
			return nil, nil
		}
	}
	return declared, answer
}

// counterpart finds the item of a list that stands for another one's.
func counterpart(item any, in []any, i int) any {
	if m, ok := item.(map[string]any); ok && m["name"] != nil {
		for _, other := range in {
			if o, ok := other.(map[string]any); ok && o["name"] == m["name"] {
				return other
			}
		}
		return nil
	}
	if i < len(in) {
		return in[i]
	}
	return nil
}
