package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pawl-dev/pawl/environments"
)

const (
	// FieldManager is who owns the fields of a release in managedFields.
	FieldManager = "pawl"
	// LabelTarget and LabelAgent are on every object of a release. What the
	// config repo says about them is overwritten.
	LabelTarget = "pawl.dev/target"
	LabelAgent  = "pawl.dev/agent"
)

// Mark says whose an object is. It is two labels, and counts only while the
// field manager pawl owns them by server-side apply: a label that somebody
// edited, or that a controller copied to another object, proves nothing.
type Mark struct {
	Agent, Target string
}

// MarkFor is the mark of a target's objects. Its parts are label values.
func MarkFor(agent string, target environments.Target) Mark {
	return Mark{Agent: labelValue(agent), Target: labelValue(target.String())}
}

// madeByApply reports whether the managed fields of an object prove that an apply
// of ours made it: that is all that ever wrote it, its status aside, and was at
// the moment of its creation. What a backup brings back has the managed fields
// of then, mark and all, in an object of now; what was made of a copy, or got a
// word from anybody, has another manager in it.
//
// The API server stamps an apply right before the object that it makes, so the
// second may change in between. Where admission took longer nothing is proven.
func madeByApply(obj *unstructured.Unstructured) bool {
	created := obj.GetCreationTimestamp().Time
	made := false
	for _, m := range managersOf(obj) {
		if m.subresource == "status" {
			continue
		}
		at, err := time.Parse(time.RFC3339, m.time)
		if err != nil || made || !m.isPawl() || at.After(created) || created.Sub(at) > time.Second {
			return false
		}
		made = true
	}
	return made
}

// IsZero reports whether an object bears no mark that counts.
func (m Mark) IsZero() bool { return m == Mark{} }

// String is the mark as people read it: "target production/web of agent pawl".
func (m Mark) String() string {
	return fmt.Sprintf("target %s of agent %s", strings.Replace(m.Target, "_", "/", 1), m.Agent)
}

// labelValue writes text as a label value. "/" becomes "_". Text that could
// then be taken for another, or is no label value, ends in a hash instead, so
// that different texts stay different.
func labelValue(text string) string {
	valid := len(text) <= 63 && !strings.Contains(text, "_") && strings.Count(text, "/") <= 1
	mapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		case r == '/':
			return '_'
		}
		valid = false
		return '-'
	}, text)
	if trimmed := strings.Trim(mapped, "-_."); trimmed != mapped || trimmed == "" {
		mapped, valid = trimmed, false
	}
	if valid {
		return mapped
	}
	sum := sha256.Sum256([]byte(text))
	if len(mapped) > 46 {
		mapped = strings.TrimRight(mapped[:46], "-_.")
	}
	return strings.TrimLeft(mapped+"-"+hex.EncodeToString(sum[:])[:16], "-")
}
