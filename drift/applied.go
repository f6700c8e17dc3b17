package drift

import "time"

// Applied is what an apply really did.
type Applied struct {
	// Steps are those of the plan that were carried out, in order.
	Steps []Step
	// Pending are objects that left the release and whose deletion is not yet
	// confirmed; they stay in the inventory.
	Pending []ObjectID
	// Held says what was not deleted though it left; nil if nothing.
	Held *PruneHeld
	// Unrestored is Plan.Unrestored.
	Unrestored []ObjectID
	Took       time.Duration
}
