// Package shipped holds the policies that come with pawl, each with its tests.
// People use them by name, or copy and change them.
package shipped

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/pawl-dev/pawl/environments"
)

//go:embed */*.rego
var files embed.FS

// library is the folder of what several policies share.
const library = "lib"

// Names are the policies' names, sorted.
func Names() []string {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	var names []string
	for _, e := range entries {
		if e.Name() != library {
			names = append(names, e.Name())
		}
	}
	return names
}

// Files are a policy's files by name, tests and what it shares with others
// among them: all that it takes to use a copy.
func Files(name string) (map[string][]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("there is no shipped policy %.100q%s; there are %s", name, environments.DidYouMean(name, Names()), strings.Join(Names(), ", "))
	}
	found := map[string][]byte{}
	add := func(folder string) {
		entries, err := files.ReadDir(folder)
		if err != nil {
			panic(err) // as above
		}
		for _, e := range entries {
			content, err := fs.ReadFile(files, path.Join(folder, e.Name()))
			if err != nil {
				panic(err)
			}
			found[e.Name()] = content
		}
	}
	add(name)
	for _, content := range found {
		if strings.Contains(string(content), "import data.pods") {
			add(library)
			break
		}
	}
	return found, nil
}

// Summary says in a sentence what a policy asks: the first of its comment.
func Summary(name string) (string, error) {
	found, err := Files(name)
	if err != nil {
		return "", err
	}
	for file, content := range found {
		if _, err := fs.Stat(files, path.Join(name, file)); err != nil || strings.HasSuffix(file, "_test.rego") {
			continue
		}
		var comment []string
		for line := range strings.Lines(string(content)) {
			text, ok := strings.CutPrefix(line, "# ")
			if !ok {
				break
			}
			comment = append(comment, strings.TrimSpace(text))
		}
		sentence, _, _ := strings.Cut(strings.Join(comment, " ")+" ", ". ")
		return strings.TrimSuffix(sentence, "."), nil
	}
	return "", nil
}
