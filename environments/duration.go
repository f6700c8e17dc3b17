package environments

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// Duration is a time.Duration written as in "10m" or "1h30m".
type Duration time.Duration

const durationPattern = `^([1-9][0-9]{0,4}(ms|s|m|h)){1,4}$`

var durationText = regexp.MustCompile(durationPattern)

// String is the duration as people write it: "10m", not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || !durationText.Match(text) {
		return fmt.Errorf("%q is no duration", text)
	}
	*d = Duration(parsed)
	return nil
}

// JSONSchema is read by the schema's writer. Neither zero nor
// negative durations exist: zero is what is left out.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", Pattern: durationPattern, Examples: []any{"10m"},
		Extras: map[string]any{"patternErrorMessage": "is no duration; write it like 30s, 10m or 1h30m"},
	}
}

// Label is the schema of a name: a DNS label, because names end up in names of
// Kubernetes objects, labels and branches.
type Label string

func (Label) JSONSchema() *jsonschema.Schema {
	most := uint64(63)
	return &jsonschema.Schema{
		Type: "string", Pattern: labelPattern, MaxLength: &most, Examples: []any{"staging"},
		Extras: map[string]any{"patternErrorMessage": `is no name; write lower-case letters, digits and "-", beginning and ending with a letter or digit`},
	}
}

const labelPattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`

var label = regexp.MustCompile(labelPattern)
