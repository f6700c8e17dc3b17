package environments

import (
	"embed"
	"io/fs"
)

//go:embed all:example
var example embed.FS

// Example is the shipped example of a config repo: two applications in three
// environments.
func Example() fs.FS {
	root, err := fs.Sub(example, "example")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return root
}
