package agent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/drift"
)

func TestOfManyFailuresSomeAreTold(t *testing.T) {
	t.Parallel()
	var objects []drift.ObjectHealth
	for i := range 3000 {
		id := drift.ObjectID{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprintf("web-%d", i)}
		objects = append(objects, drift.ObjectHealth{Object: id, Status: drift.Failed, Message: strings.Repeat("x", 1000)})
	}
	objects[0].Status = drift.Current
	text := failures(drift.Combine(objects))
	if strings.Contains(text, "web-0:") || !strings.Contains(text, "web-1:") || !strings.HasSuffix(text, "; and 2994 more") || len(text) > 8<<10 {
		t.Errorf("got %d bytes, %.80s … %s", len(text), text, text[len(text)-20:])
	}
}
