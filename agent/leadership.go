package agent

// Leadership is which of an agent's replicas works. The zero value is an agent
// without others.
type Leadership struct {
	// Standby says that this one does not.
	Standby bool `json:"standby"`
	// Leader is the replica that does, as last seen; empty if none was.
	Leader string `json:"leader,omitempty"`
}
