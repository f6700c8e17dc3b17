package gogit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawl-dev/pawl/gitsync/gogit"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// BenchmarkFetch reads a repository of 3,000 files from the real git server.
func BenchmarkFetch(b *testing.B) {
	server, err := git.Start(b.Context(), git.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Close() })
	server.AddUser("agent", "planted", git.ReadAccess)
	r, err := server.CreateRepository("acme/shop")
	if err != nil {
		b.Fatal(err)
	}
	many := map[string]string{}
	for i := range 3000 {
		many[fmt.Sprintf("apps/app-%d/base/%d.yaml", i/10, i%10)] = strings.Repeat(fmt.Sprintf("line %d\n", i*i), 100)
	}
	push := func(write map[string]string) {
		if _, err := r.Commit(b.Context(), git.Commit{Write: write}); err != nil {
			b.Fatal(err)
		}
	}
	push(many)
	read := func(b *testing.B, m *gogit.Mirror) {
		if _, err := m.Fetch(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	fresh := func(b *testing.B) *gogit.Mirror {
		m, err := gogit.New(options(r))
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			read(b, fresh(b))
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		m := fresh(b)
		read(b, m)
		b.ReportAllocs()
		for b.Loop() {
			read(b, m)
		}
	})
	b.Run("one file", func(b *testing.B) {
		m := fresh(b)
		read(b, m)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			push(map[string]string{"apps/app-7/base/0.yaml": fmt.Sprint(i, "\n", b.N, b.Elapsed())})
			b.StartTimer()
			read(b, m)
		}
	})
}
