package cluster

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pawl-dev/pawl/drift"
	"github.com/pawl-dev/pawl/render"
)

// refusal turns an API server's answer into problems of an object. It is
// empty where the answer does not judge the object: the server could not be
// reached, was busy, or a webhook was down.
func refusal(err error, wanted drift.Wanted, k kind) []drift.Problem {
	id := wanted.ID
	var not *notRecreated
	if errors.As(err, &not) {
		return []drift.Problem{not.problem}
	}
	var changed *imageRewritten
	if errors.As(err, &changed) {
		return changed.problems
	}
	var owned *notIgnorable
	if errors.As(err, &owned) {
		return owned.problems
	}
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return nil
	}
	s := answer.Status()
	if lack, ok := lacking(err, id, k); ok {
		return []drift.Problem{{Object: id, Reason: lack.String(), Awaits: lack.id}}
	}
	if fields := drift.Immutable(s); len(fields) > 0 {
		_, reason := drift.DecideRecreation(drift.Wanted{}, false, drift.Entry{}, drift.Live{}, drift.Mark{}, fields)
		return []drift.Problem{{Object: id, Field: fields[0], Reason: reason + changeable(s)}}
	}
	if isUnfit(s) {
		s.Code = http.StatusBadRequest // which is not the server's fault
	}
	switch s.Code {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		if s.Details != nil && s.Reason == metav1.StatusReasonInvalid && len(s.Details.Causes) > 0 {
			problems := make([]drift.Problem, 0, len(s.Details.Causes))
			for _, cause := range s.Details.Causes {
				problems = append(problems, drift.Problem{Object: id, Field: cause.Field, Reason: masked(cause.Message, wanted)})
			}
			return problems
		}
		if s.Code == http.StatusForbidden && strings.Contains(s.Message, "RBAC permissions not currently held") {
			// Who writes it has not got these rights itself.
			return []drift.Problem{{Object: id, Field: granting(id), Reason: masked(s.Message, wanted)}}
		}
		return undeclared(masked(s.Message, wanted), id)
	}
	return nil
}

// others is how the API server says which fields of a StatefulSet can be changed.
var others = regexp.MustCompile(`^Forbidden: updates to statefulset spec for fields other than (.*) are forbidden$`)

// changeable names the fields that can be changed, where no field is named that
// cannot.
func changeable(s metav1.Status) string {
	for _, cause := range s.Details.Causes {
		if m := others.FindStringSubmatch(cause.Message); m != nil {
			return "; only these can: " + m[1] + ", so not volumeClaimTemplates, say"
		}
	}
	return ""
}

// granting is the field of an object of RBAC that hands out rights.
func granting(id drift.ObjectID) string {
	if strings.HasSuffix(id.Kind, "Binding") {
		return "roleRef"
	}
	return "rules"
}

// final reports whether asking again will not help.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsUnauthorized(err)
}

// unfit is how the API server says that an object does not fit the schema, or
// has bytes that are not in base64.
var unfit = regexp.MustCompile(`^failed to create typed patch object|illegal base64 data`)

func isUnfit(s metav1.Status) bool {
	return s.Code == http.StatusInternalServerError && unfit.MatchString(s.Message)
}

// How the API server says that it does not know a field.
var (
	notInSchema = regexp.MustCompile(`\.([\w.\[\]"=,:{}/-]+): field not declared in schema`)
	strictField = regexp.MustCompile(`(unknown|duplicate) field "([^"]+)"`)
)

// undeclared finds the fields in a message about unknown ones.
func undeclared(message string, id drift.ObjectID) []drift.Problem {
	var problems []drift.Problem
	for _, m := range strictField.FindAllStringSubmatch(message, -1) {
		problems = append(problems, drift.Problem{Object: id, Field: m[2], Reason: m[1] + " field; is it misspelled?"})
	}
	for _, m := range notInSchema.FindAllStringSubmatch(message, -1) {
		problems = append(problems, drift.Problem{Object: id, Field: m[1], Reason: "unknown field; is it misspelled?"})
	}
	if len(problems) == 0 {
		problems = append(problems, drift.Problem{Object: id, Reason: message})
	}
	return problems
}

// masked is what the API server says of an object; of a Secret, without its
// values. Where some are left to others they are not known here, but were sent
// in a trial and seen by webhooks, so that none of it is told.
func masked(message string, wanted drift.Wanted) string {
	switch {
	case !isSecret(wanted.ID):
		return message
	case wanted.Exceptions != nil:
		return "the API server's words are left out, as they may hold values of the Secret that are left to others"
	}
	return withoutValues(message, wanted)
}

// withoutValues removes the values that a Secret declares from a message.
func withoutValues(message string, wanted drift.Wanted) string {
	var secret map[string]any
	if err := json.Unmarshal(wanted.Whole(), &secret); err != nil {
		return "the answer is left out, as it may hold values of the Secret"
	}
	for _, name := range []string{"apiVersion", "kind", "metadata"} {
		delete(secret, name)
	}
	for _, value := range texts(secret) {
		if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && len(decoded) > 2 {
			message = strings.ReplaceAll(message, string(decoded), "***")
		}
		if len(value) > 2 { // less is no secret, and would cut words to pieces
			message = strings.ReplaceAll(message, value, "***")
		}
	}
	return message
}

// texts are all texts in a value, at whatever depth: what is wrong with a
// Secret may be just where its values stand.
func texts(value any) []string {
	var found []string
	switch v := value.(type) {
	case string:
		found = append(found, v)
	case []any:
		for _, item := range v {
			found = append(found, texts(item)...)
		}
	case map[string]any:
		for _, item := range v {
			found = append(found, texts(item)...)
		}
	}
	return found
}

// plain is an error about an object; about a Secret, without its values and
// without the error behind it, which would still hold them.
func plain(err error, wanted drift.Wanted) error {
	if !isSecret(wanted.ID) {
		return err
	}
	answer := statusOf(err)
	if answer.Code == 0 { // these are not the API server's words
		return &maskedError{withoutValues(err.Error(), wanted)}
	}
	return &maskedError{fmt.Sprintf("%s (%d %s)", masked(err.Error(), wanted), answer.Code, answer.Reason)}
}

func isSecret(id drift.ObjectID) bool { return id.Group == "" && id.Kind == "Secret" }

type maskedError struct{ message string }

func (e *maskedError) Error() string { return e.message }

// located says where the objects that are refused are declared.
func located(err error, release render.Release) error {
	var rejected *drift.Rejected
	if errors.As(err, &rejected) {
		rejected.Locate(release.Places)
	}
	return err
}
