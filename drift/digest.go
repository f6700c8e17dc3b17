package drift

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest tells contents apart: equal contents have equal digests. It is half
// of a SHA-256, in hex. The zero value stands for no content.
type Digest string

func digestOf(content []byte) Digest {
	sum := sha256.Sum256(content)
	return Digest(hex.EncodeToString(sum[:16]))
}

// DigestOf is the digest of a text.
func DigestOf(text string) Digest { return digestOf([]byte(text)) }
