package cosign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	cosigntypes "github.com/sigstore/cosign/v2/pkg/types"

	"github.com/pawl-dev/pawl/policies"
)

// The payload type of an in-toto statement in an envelope, and the two
// versions of statements that are in use: cosign writes the first into tags,
// cosign 3 and GitHub the second into bundles.
const payloadType = cosigntypes.IntotoPayloadType

var statementTypes = []string{"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"}

// Limits of what is read of a statement.
const (
	maxSubjects = 1024
	maxDepth    = 256
)

// statement is what an attestation says.
type statement struct {
	// PredicateType is never taken from anywhere else: annotations are the
	// registry's word.
	PredicateType string
	Predicate     json.RawMessage // part of what was read
	subjects      []string        // the sha256 digests, in hex
}

var sha256Hex = regexp.MustCompile(`^[a-f0-9]{64}$`)

// about reports whether the image is one of those that the statement names. A
// statement about several things is about each of them: builds attest all that
// they made at once. Digests by other algorithms say nothing here.
func (s statement) about(image v1.Hash) bool {
	return image.Algorithm == "sha256" && slices.Contains(s.subjects, image.Hex)
}

// readStatement is strict, since others will read the predicate after it: a
// name that is there twice means one thing to one reader and another to the
// next, and so does one in another case.
func readStatement(raw []byte) (statement, error) {
	if err := unambiguous(raw); err != nil {
		return statement{}, err
	}
	var fields map[string]json.RawMessage // exact names; struct fields would match in any case
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return statement{}, errors.New("its statement is no JSON object")
	}
	var kind string
	s := statement{Predicate: fields["predicate"]}
	if json.Unmarshal(fields["_type"], &kind) != nil || !slices.Contains(statementTypes, kind) {
		return statement{}, fmt.Errorf("it holds no in-toto statement of version 0.1 or 1 (_type is %s)", policies.Clip(string(fields["_type"]), 100))
	}
	if json.Unmarshal(fields["predicateType"], &s.PredicateType) != nil || s.PredicateType == "" {
		return statement{}, errors.New("its statement has no predicateType")
	}
	if s.Predicate == nil {
		s.Predicate = json.RawMessage("null")
	}
	var subjects []map[string]json.RawMessage
	if json.Unmarshal(fields["subject"], &subjects) != nil || len(subjects) == 0 {
		return statement{}, errors.New("its statement has no subject")
	}
	if len(subjects) > maxSubjects {
		return statement{}, fmt.Errorf("its statement has %d subjects, and %d are read", len(subjects), maxSubjects)
	}
	for _, subject := range subjects {
		var digests map[string]string
		if json.Unmarshal(subject["digest"], &digests) == nil && sha256Hex.MatchString(digests["sha256"]) {
			s.subjects = append(s.subjects, digests["sha256"])
		}
	}
	return s, nil
}

// unambiguous accepts one JSON value without a name that is there twice, and
// not nested without end. It keeps no more than the names of what is open:
// decoding a bill of materials only for this would take a second.
func unambiguous(raw []byte) error {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return errors.New("its statement is not JSON")
	}
	var names [][]byte              // of all objects that are open
	var begins []int                // where in names those of each open value begin
	for i := 0; i < len(raw); i++ { // every bracket and quote is where it must be
		switch raw[i] {
		case '{', '[':
			if begins = append(begins, len(names)); len(begins) > maxDepth {
				return fmt.Errorf("its statement is nested more than %d deep", maxDepth)
			}
		case '}', ']':
			last := len(begins) - 1
			if twice := repeated(names[begins[last]:]); twice != nil {
				return fmt.Errorf("its statement has the name %q twice in one object", policies.Clip(string(twice), 100))
			}
			names, begins = names[:begins[last]], begins[:last]
		case '"':
			begin := i
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			if rest := bytes.TrimLeft(raw[i+1:], " \t\r\n"); len(rest) > 0 && rest[0] == ':' {
				names = append(names, unquote(raw[begin:i+1]))
			}
		}
	}
	return nil
}

// unquote is what a JSON string says.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is one, of a valid document
	return []byte(s)
}

// repeated returns a name that is there twice, and sorts the others.
func repeated(names [][]byte) []byte {
	slices.SortFunc(names, bytes.Compare)
	for i := 1; i < len(names); i++ {
		if bytes.Equal(names[i-1], names[i]) {
			return names[i]
		}
	}
	return nil
}
