package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// contentID identifies values by content: "sha256:…". kind keeps the contents
// of different things apart.
func contentID(kind string, values ...any) string {
	raw, err := json.Marshal(append([]any{"pawl/" + kind}, values...))
	if err != nil {
		panic("policies: " + err.Error()) // strings, numbers and lists of them only
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// set sorts and takes out what is there twice.
func set(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}
