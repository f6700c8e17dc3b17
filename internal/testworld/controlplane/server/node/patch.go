package node

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
)

// statusPatch replaces what a status declares. With a UID it fails on an
// object that has since been replaced by another of the same name.
func statusPatch(uid types.UID, status any) ([]byte, error) {
	patch := map[string]any{"status": status}
	if uid != "" {
		patch["metadata"] = map[string]any{"uid": uid}
	}
	return json.Marshal(patch)
}

func specPatch(spec any) ([]byte, error) { return json.Marshal(map[string]any{"spec": spec}) }
