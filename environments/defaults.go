package environments

import (
	"fmt"

	"github.com/invopop/jsonschema"
)

// withDefaults fills what an environment leaves out, so that whoever reads a
// loaded pipeline need not know the defaults.
func (e Environment) withDefaults() Environment {
	if e.Promotion.Merge == "" {
		e.Promotion.Merge = MergeManual
	}
	if e.Promotion.Batch == "" {
		e.Promotion.Batch = BatchApplication
	}
	if e.Drift == "" {
		e.Drift = DriftCorrect
	}
	if e.Rollback.OnFailure == "" {
		e.Rollback.OnFailure = RollbackAuto
	}
	if e.HealthTimeout == 0 {
		e.HealthTimeout = Duration(DefaultHealthTimeout)
	}
	return e
}

// JSONSchemaProperty is read by the schema's writer: names are labels.
func (Environment) JSONSchemaProperty(field string) any { return labelled(field) }

// JSONSchemaProperty is read by the schema's writer: names are labels.
func (Metadata) JSONSchemaProperty(field string) any { return labelled(field) }

func labelled(field string) any {
	if field == "name" {
		return Label("")
	}
	return nil
}

// JSONSchemaExtend is read by the schema's writer.
func (Track) JSONSchemaExtend(s *jsonschema.Schema) {
	ExactlyOne(s, "tag", "semver")
}

// ExactlyOne makes a schema demand one of two fields, and not both.
func ExactlyOne(s *jsonschema.Schema, a, b string) {
	s.OneOf = []*jsonschema.Schema{{Required: []string{a}}, {Required: []string{b}}}
	s.Extras = map[string]any{"errorMessage": fmt.Sprintf("must have exactly one of %s and %s", a, b)}
}
