package promote

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/policies"
)

// refusedRows say of each thing that was refused what was demanded, what was
// found, and how to satisfy it. Places with the same image and reason share one.
func refusedRows(who string, r *policies.Refusal) []string {
	var rows []string
	add := func(demanded, found, hint string) {
		row := fmt.Sprintf("| %s | %s | %s | %s |\n", Escape(who), said(demanded), said(found), said(hint))
		if !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	for n, i := range r.Images {
		first := slices.IndexFunc(r.Images, func(o policies.ImageRefusal) bool { return o.Image == i.Image && o.Found == i.Found })
		if first != n {
			continue
		}
		places := 0
		for _, o := range r.Images {
			if o.Image == i.Image && o.Found == i.Found {
				places++
			}
		}
		where := i.Object + ", " + i.Field
		if places > 1 {
			where += fmt.Sprintf(", and %s", count(places-1, "more place"))
		}
		add(i.Demanded, "image "+shortImage(i.Image)+" "+i.Found+" ("+where+")", i.Hint)
	}
	for _, d := range r.Denials {
		subject := d.Subject
		if d.Kind == policies.DeniedByPolicy {
			subject = "policy " + subject
		}
		where := ""
		switch {
		case d.File != "" && d.Line > 0:
			where = fmt.Sprintf(" (%s:%d)", d.File, d.Line)
		case d.File != "":
			where = " (" + d.File + ")"
		}
		add(d.Demanded, subject+" "+d.Found+where, d.Hint)
	}
	return rows
}

// shortImage is a pinned image with as much of the digest as people compare.
func shortImage(image string) string {
	if repository, digest, ok := strings.Cut(image, "@"); ok && validDigest(digest) {
		return short(repository, digest)
	}
	return image
}

// said is text of strangers in a cell.
func said(text string) string { return Escape(clip(text, 600)) }

// refusedTable has as many rows as fit.
func refusedTable(rows []string, room int) string {
	if len(rows) == 0 {
		return ""
	}
	out := "**What was refused.**\n\n| application | demanded | found | how to satisfy it |\n| --- | --- | --- | --- |\n"
	for i, row := range rows {
		if len(out)+len(row) > room-60 {
			return out + fmt.Sprintf("\nand %d more\n\n", len(rows)-i)
		}
		out += row
	}
	return out + "\n"
}

// warningsShown bounds what one target's policies have to say.
const warningsShown = 20

// warnings are what policies say without denying, and images that nobody verified.
func (s EnvironmentState) warnings() []string {
	var out []string
	for _, t := range s.Targets {
		for i, u := range t.Unlisted {
			if i == warningsShown {
				out = append(out, fmt.Sprintf("%s: and %s that nobody listed", Escape(t.label()), count(len(t.Unlisted)-i, "more image")))
				break
			}
			out = append(out, fmt.Sprintf("%s: %s in %s of %s looks like an image and is not verified; list the field under spec.images of pawl.yaml", Escape(t.label()), said(u.Reference), said(u.Field), said(u.Object)))
		}
		n := 0
		for _, p := range t.Policies {
			for _, m := range p.Warned {
				if n++; n > warningsShown {
					continue
				}
				about := strings.TrimSpace(m.Object + " " + m.Image)
				if about != "" {
					about = " (" + about + ")"
				}
				text := Escape(t.label()) + ": policy " + said(p.Policy) + ": " + said(m.Text+about)
				if !slices.Contains(out, text) {
					out = append(out, text)
				}
			}
		}
		if n > warningsShown {
			out = append(out, fmt.Sprintf("%s: and %s", Escape(t.label()), count(n-warningsShown, "more warning")))
		}
	}
	return out
}
