package environments

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
)

// APIVersion is the only version of documents that is understood.
const APIVersion = "pawl.dev/v1alpha1"

// Bounds of a wait for health.
const (
	MinHealthTimeout = time.Second
	MaxHealthTimeout = 24 * time.Hour
)

//go:embed environment.go
var pipelineSource string

//go:embed health.go
var healthSource string

//go:embed ignore.go
var ignoreSource string

// TrustSource is the Go source of the types that pawl.yaml and the agent's
// configuration share, for the descriptions in the latter's schema.
//
//go:embed trust.go
var TrustSource string

var pipelineSchema = sync.OnceValue(func() *Schema {
	return NewSchema[Pipeline]("https://pawl.dev/schemas/v1alpha1/pipeline.json", "pawl.yaml", pipelineSource, healthSource, ignoreSource, TrustSource)
})

// PipelineSchema is the JSON Schema of pawl.yaml.
func PipelineSchema() *Schema { return pipelineSchema() }

// Load reads pawl.yaml, the work of strangers, strictly, and fills in the
// defaults. The error is *Problems and the pipeline then empty.
func Load(file string, data []byte) (Pipeline, error) {
	p, doc := Decode[Pipeline](file, data, pipelineSchema())
	p.check(doc)
	if err := doc.Err(); err != nil {
		return Pipeline{}, err
	}
	for i, e := range p.Spec.Environments {
		p.Spec.Environments[i] = e.withDefaults()
	}
	return p, nil
}

// check reports what the schema cannot know: names that must agree, the order,
// and values with a meaning.
func (p Pipeline) check(doc *Document) {
	if p.Spec.Overlays != "" {
		if _, err := overlaySegments(p.Spec.Overlays); err != nil {
			doc.Report("spec.overlays", "%s %v", quote(p.Spec.Overlays), err)
		}
	}
	p.checkNames(doc)
	p.checkOrder(doc)
	p.Spec.checkTrust(doc)
	p.Spec.checkHealth(doc)
	for i, e := range p.Spec.Environments {
		at := fmt.Sprintf("spec.environments[%d]", i)
		for j, t := range e.Track {
			t.check(doc, fmt.Sprintf("%s.track[%d]", at, j))
		}
		checkAdopt(doc, at, e.Adopt)
		for j, rule := range e.Ignore {
			rule.check(doc, fmt.Sprintf("%s.ignore[%d]", at, j))
		}
		if d := time.Duration(e.HealthTimeout); d != 0 && (d < MinHealthTimeout || d > MaxHealthTimeout) {
			doc.Report(at+".healthTimeout", "%s is out of bounds; write %s to %s", e.HealthTimeout, Duration(MinHealthTimeout), Duration(MaxHealthTimeout))
		}
	}
}

func (p Pipeline) checkNames(doc *Document) {
	seen := map[string]int{}
	for i, e := range p.Spec.Environments {
		if first, twice := seen[e.Name]; twice && e.Name != "" {
			doc.Report(fmt.Sprintf("spec.environments[%d].name", i), "%q is the name of spec.environments[%d] already; give each its own", e.Name, first)
			continue
		}
		seen[e.Name] = i
	}
}

func (p Pipeline) checkOrder(doc *Document) {
	known := make([]string, 0, len(p.Spec.Environments))
	for _, e := range p.Spec.Environments {
		if e.Name != "" {
			known = append(known, e.Name)
		}
	}
	// Where a name could not be read, what refers to it cannot be judged.
	doubtful := len(known) < len(p.Spec.Environments)
	nameless := doubtful
	var first []string
	for i, e := range p.Spec.Environments {
		at := fmt.Sprintf("spec.environments[%d]", i)
		for j, name := range e.After {
			here := fmt.Sprintf("%s.after[%d]", at, j)
			switch {
			case name == "":
				doubtful = true
			case name == e.Name:
				doubtful = true
				doc.Report(here, "%q comes after itself", name)
			case !slices.Contains(known, name):
				doubtful = true
				if nameless {
					continue
				}
				near := DidYouMean(name, known)
				if near == "" {
					near = "; known are " + list(known, "and")
				}
				doc.Report(here, "unknown environment %s%s", quote(name), near)
			case slices.Contains(e.After[:j], name):
				doc.Report(here, "%q is named twice", name)
			}
		}
		if len(e.After) > 0 {
			if len(e.Track) > 0 {
				doc.Report(at+".track", "only the first environment follows tags; %s gets its digests from %s by promotion", e.Name, list(e.After, "and"))
			}
			continue
		}
		if e.After != nil || doc.spoiled[at+".after"] || doc.spoiled[at] {
			doubtful = true
			continue
		}
		if first = append(first, e.Name); len(first) > 1 {
			doc.Report(at+".after", "is missing: %s is the first environment already; name the one that comes before %s", quote(first[0]), quote(e.Name))
		}
		if e.Promotion != (Promotion{}) && len(first) == 1 {
			doc.Report(at+".promotion", "is of no use in the first environment: its digests come by track, not by promotion")
		}
	}
	// Behind an unknown name every environment would seem to be in a cycle.
	if doubtful || len(p.Spec.Environments) == 0 {
		return
	}
	if _, stuck := sortByAfter(p.Spec.Environments); len(stuck) > 0 {
		names := make([]string, len(stuck))
		for i, e := range stuck {
			names[i] = e.Name
		}
		doc.Report("spec.environments", "%s wait for each other; one must be first, with no after", list(names, "and"))
	}
}

// imagePattern is a repository whose segments may hold "*".
var imagePattern = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*._:-]*[a-z0-9*])?(/[a-z0-9*]([a-z0-9*._-]*[a-z0-9*])?)*$`)

// tagName is what the registry protocol takes as a tag.
var tagName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

func (t Track) check(doc *Document, at string) {
	if t.Image != "" {
		host, _, several := strings.Cut(t.Image, "/")
		last := t.Image[strings.LastIndex(t.Image, "/")+1:]
		switch {
		case strings.Contains(t.Image, "@"):
			doc.Report(at+".image", "%s holds a digest; write the repository alone", quote(t.Image))
		case several && strings.Contains(last, ":"):
			doc.Report(at+".image", "%s holds a tag; write the tag under tag, or a range under semver", quote(t.Image))
		case !imagePattern.MatchString(t.Image):
			doc.Report(at+".image", "%s is no image repository; write it like ghcr.io/acme/web or ghcr.io/acme/*", quote(t.Image))
		case !several || !strings.ContainsAny(host, ".:") && host != "localhost":
			doc.Report(at+".image", "%s does not begin with a registry; write it like ghcr.io/acme/web", quote(t.Image))
		case strings.Contains(host, "*"):
			doc.Report(at+".image", `%s has "*" in the registry's name; it may stand only behind the first "/"`, quote(t.Image))
		}
	}
	if t.Tag != "" && !tagName.MatchString(t.Tag) {
		doc.Report(at+".tag", "%s is no tag; write one such as main, or a range under semver", quote(t.Tag))
	}
	if t.Semver != "" {
		if _, err := semver.NewConstraint(t.Semver); err != nil {
			doc.Report(at+".semver", "%s is no range of versions; write one such as \">=1.4 <2\"", quote(t.Semver))
		}
	}
}
