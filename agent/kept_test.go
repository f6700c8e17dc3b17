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

func TestTheWayOutOfAFailure(t *testing.T) {
	t.Parallel()
	failed, gone := drift.ObjectHealth{Status: drift.Failed}, drift.ObjectHealth{Status: drift.Failed, Gone: true}
	for says, c := range map[string]struct {
		objects []drift.ObjectHealth
		want    string
	}{
		"a release at fault is mended in git":        {[]drift.ObjectHealth{failed}, fixForward},
		"also where something is gone beside":        {[]drift.ObjectHealth{gone, failed}, fixForward},
		"what was taken from it is nothing for git":  {[]drift.ObjectHealth{gone, {Status: drift.Current}}, fixOutside},
		"and what else is on its way does not count": {[]drift.ObjectHealth{gone, {Status: drift.Progressing}}, fixOutside},
	} {
		if got := wayOut(drift.Health{Objects: c.objects}); got != c.want {
			t.Errorf("%s: %s", says, got)
		}
	}
}
