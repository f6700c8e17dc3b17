package promote

import (
	"errors"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/policies"
	"github.com/pawl-dev/pawl/render"
)

const (
	// annotationsShown bounds a report's; the summary tells of all.
	annotationsShown = 100
	// GitHub takes 255 bytes and 64 KB; a message that long is read by nobody.
	annotationTitle   = 255
	annotationMessage = 8 << 10
	// annotationPath is as long as the paths of common file systems.
	annotationPath = 4096
)

// annotations are those of a state that is final: failures first, each once.
func (s EnvironmentState) annotations() []Annotation {
	var c annotator
	c.failure(s.Environment, s.Problem, nil)
	for _, t := range s.Targets {
		if t.Stage == StageFailed {
			c.failure(t.Target.String(), t.Problem, &t)
		}
	}
	for _, t := range s.Targets {
		for _, p := range t.Policies {
			for _, m := range p.Warned {
				at := t.placeOf(m)
				c.add(AnnotationWarning, at.File, at.Line, t.Target.String()+": policy "+p.Policy+" warns", m.Text)
			}
		}
	}
	return c.list
}

type annotator struct {
	list []Annotation
	seen map[Annotation]bool
}

// failure annotates each place that a failure names.
func (c *annotator) failure(who string, p Problem, t *TargetState) {
	var refusal *policies.Refusal
	var rendering *render.Error
	var unpinned *render.UnpinnedError
	var pipeline *environments.Problems
	var outside *drift.OutOfReach
	switch {
	case errors.As(p.Err, &outside):
		for _, one := range outside.Problems {
			at := t.placeOf(policies.PolicyMessage{Object: one.Object.String()})
			c.add(AnnotationFailure, at.File, at.Line, who+": an object is out of reach", one.String()+"\n"+p.Hint)
		}
	case errors.As(p.Err, &refusal):
		c.refusal(who, refusal, t)
	case errors.As(p.Err, &unpinned):
		for _, u := range unpinned.Unpinned {
			text := "image " + u.Reference + " is not pinned (" + u.Object + ", " + u.Field + ")"
			c.add(AnnotationFailure, u.File, u.Line, who+": an image is not pinned", text+"\n"+p.Hint)
		}
	case errors.As(p.Err, &rendering):
		text := rendering.Err.Error()
		for _, where := range []string{rendering.Field, rendering.Object} {
			if where != "" {
				text = where + ": " + text
			}
		}
		c.add(AnnotationFailure, rendering.File, rendering.Line, who+": does not render", text+"\n"+p.Hint)
	case errors.As(p.Err, &pipeline):
		for _, one := range pipeline.List {
			text := one.Message
			if one.Path != "" {
				text = one.Path + ": " + text
			}
			c.add(AnnotationFailure, one.File, one.Line, who+": cannot be read", text)
		}
	}
}

func (c *annotator) refusal(who string, r *policies.Refusal, t *TargetState) {
	for _, i := range r.Images {
		at := t.placeOf(policies.PolicyMessage{Object: i.Object, Image: i.Image})
		c.add(AnnotationFailure, at.File, at.Line, who+": an image is refused",
			"image "+i.Image+" "+i.Found+"\nDemanded: "+i.Demanded+"\n"+i.Hint)
	}
	for _, d := range r.Denials {
		at := render.Place{File: d.File, Line: d.Line}
		if at.File == "" {
			at = t.placeOf(policies.PolicyMessage{Object: d.Object})
		}
		title := who + ": " + d.Subject + " is refused"
		if d.Kind == policies.DeniedByPolicy {
			title = who + ": policy " + d.Subject + " denies"
		}
		c.add(AnnotationFailure, at.File, at.Line, title, d.Subject+" "+d.Found+"\nDemanded: "+d.Demanded+"\n"+d.Hint)
	}
}

// placeOf is where an image's digest is written, else where the object stands
// that is spoken of; zero if neither is known.
func (t *TargetState) placeOf(m policies.PolicyMessage) render.Place {
	if t == nil {
		return render.Place{}
	}
	for _, images := range [][]render.Image{t.Images, t.Unpinned} {
		for _, i := range images {
			about := m.Image != "" && (m.Image == i.Pinned() || m.Image == i.Reference) && (m.Object == "" || m.Object == i.Object)
			if about && i.File != "" && i.Line > 0 {
				return render.Place{File: i.File, Line: i.Line}
			}
		}
	}
	return t.Places[m.Object]
}

// add leaves out what has no line, and what is said already.
func (c *annotator) add(level AnnotationLevel, file string, line int, title, message string) {
	if line < 1 || len(file) > annotationPath || !utf8.ValidString(file) || !fs.ValidPath(file) || file == "." ||
		strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(c.list) == annotationsShown {
		return
	}
	a := Annotation{
		File: file, Line: line, Level: level,
		Title: clipBytes(plain(title, annotationTitle), annotationTitle), Message: clipBytes(plainLines(message), annotationMessage),
	}
	if a.Message == "" {
		a.Message = a.Title // GitHub demands one
	}
	if c.seen[a] {
		return
	}
	if c.seen == nil {
		c.seen = map[Annotation]bool{}
	}
	c.seen[a] = true
	c.list = append(c.list, a)
}

// plainLines is text for a place that shows it as it is, several lines of it.
func plainLines(s string) string {
	var lines []string
	for line := range strings.Lines(clip(s, annotationMessage)) {
		if line = plain(line, annotationMessage); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// clipBytes shortens text to n bytes, whole characters.
func clipBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const more = "…"
	for n -= len(more); n > 0 && !utf8.RuneStart(s[n]); n-- {
	}
	return s[:n] + more
}
