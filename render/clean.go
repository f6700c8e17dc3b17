package render

import "sync"

// cleanFiles remembers, by content, the YAML files that were checked and found
// good: bases are read by many overlays and change seldom.
type cleanFiles struct {
	mu     sync.Mutex
	hashes map[string]struct{}
}

// maxCleanFiles bounds the memory; past it all is checked anew, once.
const maxCleanFiles = 50_000

func (c *cleanFiles) has(hash string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.hashes[hash]
	return ok
}

func (c *cleanFiles) add(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hashes == nil || len(c.hashes) >= maxCleanFiles {
		c.hashes = map[string]struct{}{}
	}
	c.hashes[hash] = struct{}{}
}
