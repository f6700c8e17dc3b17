// Package agent runs the loop: it sees that the config repo moved, takes every
// target through the stages, keeps what it applied, tells GitHub, and promotes.
//
//	webhook, poll ─→ Source.Fetch ─→ revision
//	                                   │  pawl.yaml, targets            (advance.go)
//	                                   ▼
//	              one worker a target, the newest revision wins         (worker.go)
//	                render ─→ demands.Gatherer ─→ policies.Judge
//	                       ─→ Cluster.Apply ─→ waiting for health       (deploy.go)
//	                                   │
//	       drift.Notice: health, drift ─┤
//	                                   ▼
//	              board: the state of every environment                 (board.go)
//	                ├─→ reporter ─→ Forge.Report                        (reporter.go)
//	                └─→ promoter ─→ promote.Decide ─→ Forge.Propose, Merge, Withdraw
//	                    tracker  ─→ Tags.Resolve   ─→ Forge.Commit      (promoter.go, tracker.go)
//
// Three properties hold it together. Nothing waits for health: an apply
// returns, and health arrives as a notice, so a fix is never behind the failure
// it mends. Every deed is made again from what git, the registry, the cluster
// and GitHub say, so that losing the process loses nothing. And what failed
// leaves running what runs, and is tried again with growing waits (tries.go,
// again.go): the same failure is one line in the log and one word on the check.
package agent
