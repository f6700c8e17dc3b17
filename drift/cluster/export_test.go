package cluster

import "time"

// ToldUnwatchedAfter makes people be told of a broken watch after so long.
func ToldUnwatchedAfter(d time.Duration) func(*Options) {
	return func(o *Options) { o.unwatchedAfter = d }
}

// SplitInventories makes inventories be split that are larger than so many bytes.
func SplitInventories(bytes int) func(*Options) {
	return func(o *Options) { o.inventoryPartBytes = bytes }
}

// AsideUntil is how long applies make few requests, for what drifted last.
func (c *Cluster) AsideUntil() time.Time {
	c.turns.mu.Lock()
	defer c.turns.mu.Unlock()
	return c.turns.until
}

// SeesParts reports whether watching has shown as many Secrets with releases.
func (c *Cluster) SeesParts(n int) bool {
	c.releases.mu.Lock()
	defer c.releases.mu.Unlock()
	seen := 0
	for _, p := range c.releases.parts {
		if c.releases.listed.Load() && p.seen.version != "" && !p.seen.gone {
			seen++
		}
	}
	return seen == n
}
