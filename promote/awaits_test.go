package promote_test

import (
	"testing"

	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/promote"
	"github.com/pawl-dev/pawl/render"
)

func TestAwaitsDigest(t *testing.T) {
	t.Parallel()
	first := environments.Environment{Name: "dev", Track: []environments.Track{{Image: "ghcr.io/acme/*", Tag: "main"}}}
	later := environments.Environment{Name: "staging", After: []string{"dev"}}
	web := render.Image{Repository: "ghcr.io/acme/web", Tag: "main"}
	bare := render.Image{Repository: "ghcr.io/acme/web"}
	redis := render.Image{Repository: "index.docker.io/library/redis", Tag: "8"}
	for _, c := range []struct {
		says string
		env  environments.Environment
		have []render.Image
		want bool
	}{
		{"a tracked tag in the first environment awaits its digest", first, []render.Image{web}, true},
		{"a tag that nothing tracks is a person's to pin", first, []render.Image{web, redis}, false},
		{"a bare name in a later environment awaits its first promotion", later, []render.Image{bare}, true},
		{"a tag in a later environment is a person's to pin", later, []render.Image{web}, false},
		{"where everything is pinned nothing is awaited", later, nil, false},
	} {
		if got := promote.AwaitsDigest(c.env, c.have); got != c.want {
			t.Errorf("%s: got %v", c.says, got)
		}
	}
}
