package gogit

// Fetching reports whether a fetch is under way.
func (m *Mirror) Fetching() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running && m.next == nil
}

// Waiting is how many calls wait for the fetch after that.
func (m *Mirror) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		return 0
	}
	return m.next.waiting
}

// Aside reports whether something but the head is being read.
func (m *Mirror) Aside() bool { return len(m.aside) > 0 }
