//go:build unix

package sealed

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a child into a process group of its own: a Ctrl-C on a terminal
// is for the parent, which ends its children itself, and a group has one
// priority, where the threads of a process have one each.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

func lowestPriority(group int) {
	_ = syscall.Setpriority(syscall.PRIO_PGRP, group, 19)
}
