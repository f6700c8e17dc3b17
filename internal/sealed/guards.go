package sealed

import "strings"

// Guards are what holds a child back, beside what it holds back from itself: the
// refusing transport, the empty environment and the pool's deadline.
type Guards struct {
	Landlock int  // the version of the kernel's Landlock; 0: files and TCP are open to it
	Seccomp  bool // system calls are filtered
	Memory   bool // the kernel holds the memory limit
	// Missing says why something is not in force.
	Missing []string `json:",omitempty"`
}

// String is for the log: "landlock 7, seccomp, memory limit".
func (g Guards) String() string {
	var active []string
	if g.Landlock > 0 {
		active = append(active, "landlock")
	}
	if g.Seccomp {
		active = append(active, "seccomp")
	}
	if g.Memory {
		active = append(active, "memory limit")
	}
	text := strings.Join(active, ", ")
	if text == "" {
		text = "none of the kernel's"
	}
	if len(g.Missing) > 0 {
		text += "; missing: " + strings.Join(g.Missing, "; ")
	}
	return text
}
