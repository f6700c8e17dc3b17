package github

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/pawl-dev/pawl/promote"
)

// Of what GitHub shows, no text is held: there are many commits.
//
// catalogue 115
func TestReportedTextsAreNotHeld(t *testing.T) {
	t.Parallel()
	m, texts := &mark{}, []weak.Pointer[byte]{}
	text := func(s string) string {
		s = strings.Repeat(s, 1<<10)
		texts = append(texts, weak.Make(unsafe.StringData(s)))
		return s
	}
	report := func() promote.Report {
		return promote.Report{State: promote.Failure, Title: text("title "), Summary: text("summary "), Annotations: []promote.Annotation{{File: "a.yaml", Line: 1, Message: text("message ")}}}
	}
	r := report()
	m.shown(r)
	if err := m.sent(r.Annotations, nil); err != nil {
		t.Fatal(err)
	}
	r = promote.Report{}
	runtime.GC()
	for i, held := range texts {
		if held.Value() != nil {
			t.Errorf("text %d is held", i)
		}
	}
	if r = report(); !m.shows(r) {
		t.Error("what is shown is not known again")
	}
	if r.Annotations[0].Line = 2; m.shows(r) {
		t.Error("an annotation on another line passes for shown")
	}
	if r = report(); m.shows(promote.Report{State: r.State, Title: r.Title + r.Summary, Annotations: r.Annotations}) {
		t.Error("another text passes for shown")
	}
}

// What an answer takes beside its body counts, or small ones would fill the memory.
//
// catalogue 115
func TestSmallAnswersAreBounded(t *testing.T) {
	t.Parallel()
	c := newCache()
	for i := range 2 * cacheBytes / cacheEach {
		c.keep(&answer{key: fmt.Sprint("https://api.github.com/repos/acme/shop/commits/", i), body: []byte("{}")})
	}
	if n := len(c.entries); n > cacheBytes/cacheEach || c.order.Len() != n {
		t.Errorf("%d answers are kept in %d bytes", n, cacheBytes)
	}
}
