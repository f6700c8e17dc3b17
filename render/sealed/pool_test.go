package sealed

import (
	"testing"

	"github.com/pawl-dev/pawl/render"
)

func TestAReleaseIsTheSameFromAChild(t *testing.T) {
	t.Parallel()
	p := pool(t, Options{})
	guards, err := p.Guards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(guards)
	here, err := render.New(render.Options{}).Render(t.Context(), at(small()), target("shop"))
	if err != nil {
		t.Fatal(err)
	}
	there, err := render.New(render.Options{Build: p}).Render(t.Context(), at(small()), target("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if here.Release.Digest != there.Release.Digest {
		t.Errorf("%s here, %s in a child", here.Release.Digest, there.Release.Digest)
	}
}
