// Package lease lets one of several replicas of an agent work at a time, by a
// Lease in the API server.
//
// client-go elects, and says itself that this does not fence: whoever was
// frozen believes that it leads until it looks at a clock. So nothing that an
// agent sends leaves without a look: a Term ends by this process's own clock
// before anybody else can lead, and a Fence lets no request through outside of
// one. What can still slip is a write between that look and the system call
// after it, and what the API server had received before; those are harmless
// because they are idempotent, or bear preconditions.
package lease
