package sealed

import "github.com/pawl-dev/pawl/render"

var probes = map[string]func(render.Job) (render.Built, error){}
