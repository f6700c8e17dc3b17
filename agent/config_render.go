package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/pawl-dev/pawl/environments"
)

// RenderConfig bounds what rendering may take, and says where images stand.
type RenderConfig struct {
	Limits RenderLimits `json:"limits,omitempty,omitzero"`
	// Fields of custom resources that hold images, beside those of pawl.yaml.
	Images []environments.ImageFields `json:"images,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// Fields of custom resources that look like images and are none.
	NoImages []environments.ImageFields `json:"noImages,omitempty" jsonschema:"minItems=1,maxItems=100"`
	// What happens to a custom resource with something that looks like an image
	// in a field that nobody listed.
	Unlisted Unlisted `json:"unlisted,omitempty" jsonschema:"enum=refuse,enum=report,default=refuse"`
}

// Unlisted says what happens to what looks like an image and is not listed.
type Unlisted string

const (
	UnlistedRefuse Unlisted = "refuse" // the release is refused; the default
	UnlistedReport Unlisted = "report" // the check tells, and it is applied unverified
)

// RenderLimits bound what rendering one overlay may take; what exceeds one is
// refused, and the error names the limit.
type RenderLimits struct {
	// Of all files that are read; 64Mi if left out.
	Bytes Size `json:"bytes,omitempty"`
	// How many files are read; 10,000 if left out.
	Files int `json:"files,omitempty" jsonschema:"minimum=1"`
	// Values in one YAML document, each use of an alias counted; 1,000,000 if left out.
	Nodes int `json:"nodes,omitempty" jsonschema:"minimum=1"`
	// Nesting of a YAML document or an object; 250 if left out.
	Depth int `json:"depth,omitempty" jsonschema:"minimum=1,maximum=10000"`
	// Objects that are rendered; 5,000 if left out.
	Objects int `json:"objects,omitempty" jsonschema:"minimum=1"`
	// All rendered objects together; 64Mi if left out.
	Output Size `json:"output,omitempty"`
	// How long one build may take, 1s to 10m; 30s if left out.
	Time environments.Duration `json:"time,omitempty"`
	// Memory of the process of one build, 64Mi to 64Gi; 256Mi if left out.
	Memory Size `json:"memory,omitempty"`
}

// Bounds of what rendering may take.
const (
	minRenderTime, maxRenderTime     = time.Second, 10 * time.Minute
	minRenderMemory, maxRenderMemory = Size(64 << 20), Size(64 << 30)
)

func (c Config) checkRender(doc *environments.Document) {
	l := c.Render.Limits
	if d := time.Duration(l.Time); d != 0 && (d < minRenderTime || d > maxRenderTime) {
		doc.Report("render.limits.time", "%s is out of bounds; write %s to %s", l.Time, environments.Duration(minRenderTime), environments.Duration(maxRenderTime))
	}
	if l.Memory != 0 && (l.Memory < minRenderMemory || l.Memory > maxRenderMemory) {
		doc.Report("render.limits.memory", "%s is out of bounds; write %s to %s", l.Memory, minRenderMemory, maxRenderMemory)
	}
	for i, f := range c.Render.Images {
		f.Check(doc, fmt.Sprintf("render.images[%d]", i))
	}
	for i, f := range c.Render.NoImages {
		at := fmt.Sprintf("render.noImages[%d]", i)
		f.Check(doc, at)
		for j, field := range f.Fields {
			for k, listed := range c.Render.Images {
				if listed.Group == f.Group && listed.Kind == f.Kind && slices.Contains(listed.Fields, field) {
					doc.Report(fmt.Sprintf("%s.fields[%d]", at, j), "%q is listed as an image by render.images[%d]; choose one", field, k)
				}
			}
		}
	}
}
