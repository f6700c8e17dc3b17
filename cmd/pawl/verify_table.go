package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

const (
	imagesShown   = 50 // rows of the table; -o json has all
	warningsShown = 20
	cellText      = 60 // characters of a cell
	digestShown   = 12 // characters of a digest that people compare
)

// write is what people read: a table of the images, what is refused at its top,
// what there is to say of policies, and what was not judged.
func (v verification) write(out io.Writer) error {
	images := slices.Clone(v.Images)
	slices.SortStableFunc(images, func(a, b verifiedImage) int { return refusedFirst(a.Verdict) - refusedFirst(b.Verdict) })
	rows := [][]string{{"image", "digest", "signer", "attestations", "policy", "verdict"}}
	for _, i := range images[:min(len(images), imagesShown)] {
		rows = append(rows, []string{
			cell(i.Repository), shortDigest(i.Digest), cell(listed(signedBy(i))), cell(listed(attested(i))), cell(string(i.Policy)), string(i.Verdict),
		})
	}
	if len(images) == 0 {
		fmt.Fprintf(out, "%s has no images\n", v.Target)
	} else if err := writeTable(out, rows); err != nil {
		return err
	}
	if more := images[min(len(images), imagesShown):]; len(more) > 0 {
		fmt.Fprintf(out, "and %s, %s; -o json has all\n", count(len(more), "more image"), told(more))
	}
	v.writePolicies(out)
	for _, u := range v.Unlisted {
		fmt.Fprintf(out, "unverified: %s\n", oneLine(fmt.Sprintf("%s in %s, %s, looks like an image and is not listed as one", u.Image, u.Object, u.Field)))
	}
	if len(v.Others) > 0 {
		fmt.Fprintf(out, "Left to the agent: %s.\n", strings.Join(v.Others, "; "))
	}
	return nil
}

// writePolicies tells what each policy says, and what they warn of. What they
// deny stands in the refusal.
func (v verification) writePolicies(out io.Writer) {
	var says, warnings []string
	for _, p := range v.Policies {
		word := string(p.Verdict)
		if p.Verdict == denies {
			word += fmt.Sprintf(" (%d)", len(p.Denied))
		}
		says = append(says, p.Policy+" "+word)
		for _, m := range p.Warned {
			parts := []string{m.File, p.Policy, strings.TrimSpace(m.Object + " " + m.Image), m.Text}
			if m.Line > 0 {
				parts[0] = fmt.Sprintf("%s:%d", m.File, m.Line)
			}
			parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
			warnings = append(warnings, strings.Join(parts, ": "))
		}
	}
	if len(says) > 0 {
		fmt.Fprintf(out, "policies: %s\n", printable(strings.Join(says, ", ")))
	}
	for _, w := range warnings[:min(len(warnings), warningsShown)] {
		fmt.Fprintf(out, "warning: %s\n", oneLine(w))
	}
	if more := len(warnings) - warningsShown; more > 0 {
		fmt.Fprintf(out, "and %s; -o json has all\n", count(more, "more warning"))
	}
}

func writeTable(out io.Writer, rows [][]string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(table, strings.Join(r, "\t"))
	}
	return table.Flush()
}

func refusedFirst(v verdict) int {
	if v == isRefused {
		return 0
	}
	return 1
}

// told sums up images that the table has no room for.
func told(images []verifiedImage) string {
	refused := 0
	for _, i := range images {
		if i.Verdict == isRefused {
			refused++
		}
	}
	switch refused {
	case 0:
		return "all of them verified"
	case len(images):
		return "all of them refused"
	}
	return fmt.Sprintf("%d of them refused", refused)
}

func signedBy(i verifiedImage) (names []string) {
	for _, s := range i.Signatures {
		names = append(names, s.Signer)
	}
	return names
}

func attested(i verifiedImage) (names []string) {
	for _, a := range i.Attestations {
		names = append(names, a.Type)
	}
	return names
}

// listed are names, each once, of which the first three are said.
func listed(names []string) string {
	const said = 3
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - said; more > 0 {
		return fmt.Sprintf("%s +%d", strings.Join(names[:said], ", "), more)
	}
	return strings.Join(names, ", ")
}

// cell is one line of text in a table. Of what is long the end is kept, which
// is where workflows and repositories differ.
func cell(s string) string {
	text := []rune(printable(strings.Join(strings.Fields(s), " ")))
	if len(text) > cellText {
		text = append([]rune{'…'}, text[len(text)-cellText+1:]...)
	}
	return orDash(string(text))
}

func shortDigest(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) <= digestShown {
		return digest
	}
	return algorithm + ":" + hex[:digestShown] + "…"
}
