package drift

import (
	"net/http"
	"regexp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How API servers say that a field cannot be changed at all, as testdata/answers.json
// has it from a real one. What is forbidden has no value before its
// explanation, so the beginning is matched; what is invalid quotes the value
// first, which may say anything, so it is the end.
var (
	immutableForbidden = []*regexp.Regexp{
		regexp.MustCompile("^Forbidden: field is immutable( when `immutable` is set)?$"),
		regexp.MustCompile(`^Forbidden: updates to statefulset spec for fields other than .* are forbidden$`),
		regexp.MustCompile(`^Forbidden: (spec|spec\.persistentvolumesource) is immutable after creation\b`),
		regexp.MustCompile(`^Forbidden: pod updates may not change fields other than `),
		regexp.MustCompile(`^Forbidden: may not be changed in an update\.?$`),
		regexp.MustCompile(`^Forbidden: updates to (parameters|provisioner|reclaimPolicy|volumeBindingMode) are forbidden\.?$`),
	}
	immutableInvalid = []*regexp.Regexp{
		// "Value is immutable" is how custom resources are told to say it.
		regexp.MustCompile(`: (field|[vV]alue) is immutable\.?$`),
		regexp.MustCompile(`: may not change once set$`),
		regexp.MustCompile(`: cannot change roleRef$`),
	}
)

// Immutable returns the fields of an answer that says of every field it
// complains about that it cannot be changed. It is empty for any other answer,
// also for one that has other complaints beside: deleting the object would not
// help then, and whoever wrote "replicas: -1" keeps what runs.
func Immutable(answer metav1.Status) []string {
	if answer.Code != http.StatusUnprocessableEntity || answer.Reason != metav1.StatusReasonInvalid || answer.Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range answer.Details.Causes {
		if !SaysImmutable(cause) {
			return nil
		}
		if !slices.Contains(fields, cause.Field) {
			fields = append(fields, cause.Field)
		}
	}
	return fields
}

// SaysImmutable reports whether one complaint is that a field cannot be changed.
func SaysImmutable(cause metav1.StatusCause) bool {
	var known []*regexp.Regexp
	switch cause.Type {
	case metav1.CauseTypeFieldValueInvalid:
		known = immutableInvalid
	case metav1.CauseTypeForbidden:
		known = immutableForbidden
	}
	return slices.ContainsFunc(known, func(r *regexp.Regexp) bool { return r.MatchString(cause.Message) })
}
