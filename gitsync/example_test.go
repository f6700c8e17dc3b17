package gitsync_test

import (
	"fmt"
	"time"

	"github.com/pawl-dev/pawl/gitsync"
)

// What was signed by nobody, or by somebody who is not configured, is told as
// it goes on after the name of a commit.
func ExampleSigners_Verify() {
	signers, err := gitsync.NewSigners([]gitsync.Signer{
		{Name: "Ada Lovelace", Key: `ada@example.org namespaces="git" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl`},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	revision := gitsync.Revision{Commit: "8d2e1a7c0ffee00000000000000000000000beef"}
	if _, err := signers.Verify(revision.Signature, time.Now()); err != nil {
		fmt.Println("commit", revision.Commit.Short(), err)
	}
	// Output: commit 8d2e1a7 is not signed
}
