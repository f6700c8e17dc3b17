package main

import (
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// progress is a line on a terminal that says what is being done, and that is
// gone when it is done. Elsewhere it is nothing: logs are not to be filled.
type progress struct {
	out  io.Writer
	live bool
}

// progressOn shows progress on a command's standard error.
func progressOn(stderr io.Writer) progress {
	file, ok := stderr.(*os.File)
	return progress{stderr, ok && isatty.IsTerminal(file.Fd())}
}

const clearLine = "\r\x1b[K"

// say replaces the line.
func (p progress) say(format string, args ...any) {
	if p.live {
		fmt.Fprint(p.out, clearLine+printable(fmt.Sprintf(format, args...))+" …")
	}
}

// done takes the line away.
func (p progress) done() {
	if p.live {
		fmt.Fprint(p.out, clearLine)
	}
}
