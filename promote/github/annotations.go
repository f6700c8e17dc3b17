package github

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/promote"
)

const (
	// annotationsAtOnce is how many GitHub takes with one request.
	annotationsAtOnce = 50
	// annotationPages bounds what is read back of a run's annotations, 100 to a
	// page: more than a report has.
	annotationPages = 5
)

// output is what a check run shows.
func output(r promote.Report, notes []promote.Annotation) *github.CheckRunOutput {
	o := &github.CheckRunOutput{
		Title:   github.String(orElse(r.Title, string(r.State))),
		Summary: github.String(cut(orElse(r.Summary, r.Title), 65_535)),
	}
	for _, a := range notes {
		note := &github.CheckRunAnnotation{
			Path: github.String(a.File), StartLine: github.Int(a.Line), EndLine: github.Int(a.Line),
			AnnotationLevel: github.String(string(a.Level)), Message: github.String(a.Message),
		}
		if a.Title != "" {
			note.Title = github.String(a.Title)
		}
		o.Annotations = append(o.Annotations, note)
	}
	return o
}

// sent takes in that annotations were sent, or failed to be.
func (m *mark) sent(notes []promote.Annotation, err error) error {
	if err != nil {
		m.unsure = m.unsure || len(notes) > 0 && unavailable(err)
		return err
	}
	if m.noted == nil {
		m.noted = map[digest]bool{}
	}
	for _, a := range notes {
		m.noted[noteOf(a)] = true
	}
	return nil
}

// readAnnotations finds out which annotations a run has.
func (f *Forge) readAnnotations(ctx context.Context, m *mark, doing string) error {
	noted := map[digest]bool{}
	options := &github.ListOptions{PerPage: 100}
	for range annotationPages {
		list, resp, err := f.client.Checks.ListCheckRunAnnotations(ctx, f.owner, f.repo, m.id, options)
		if err != nil {
			return failure(doing, "checks: write", err)
		}
		for _, one := range list {
			noted[noteOf(promote.Annotation{
				File: one.GetPath(), Line: one.GetStartLine(), Level: promote.AnnotationLevel(one.GetAnnotationLevel()),
				Title: one.GetTitle(), Message: one.GetMessage(),
			})] = true
		}
		if resp.NextPage == 0 {
			break
		}
		options.Page = resp.NextPage
	}
	m.noted, m.unsure = noted, false
	return nil
}
