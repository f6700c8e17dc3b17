package render

import "sync"

// knownFiles remembers, by content, what the YAML files declare that were
// checked and found good: bases are read by many overlays and change seldom.
type knownFiles struct {
	mu     sync.Mutex
	hashes map[string][]Document
}

// maxKnownFiles bounds the memory; past it all is checked anew, once.
const maxKnownFiles = 50_000

func (k *knownFiles) get(hash string) ([]Document, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	documents, ok := k.hashes[hash]
	return documents, ok
}

func (k *knownFiles) put(hash string, documents []Document) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hashes == nil || len(k.hashes) >= maxKnownFiles {
		k.hashes = map[string][]Document{}
	}
	k.hashes[hash] = documents
}
