package github

import (
	"fmt"
	"net/http"
)

// object is a JSON object as GitHub writes it.
type object = map[string]any

// refusal is an answer of 4xx in GitHub's shape.
type refusal struct {
	status  int
	message string
	errors  []any
	header  http.Header
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.message) }

const documentation = "https://docs.github.com/rest"

func (r *refusal) body() object {
	body := object{"message": r.message, "documentation_url": documentation}
	// GitHub describes the field for basic errors only.
	if r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusNotFound {
		body["status"] = fmt.Sprint(r.status)
	}
	if r.errors != nil {
		body["errors"] = r.errors
	}
	if url := r.header.Get(documentationHeader); url != "" {
		body["documentation_url"] = url
	}
	return body
}

// documentationHeader carries another documentation_url to the body; clients
// tell a secondary rate limit by it. It is not sent.
const documentationHeader = "Stand-In-Documentation"

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

func notFound() error { return refuse(http.StatusNotFound, "Not Found") }

// invalid is a 422 that names the field. Code is missing, invalid,
// already_exists, missing_field or custom.
func invalid(resource, field, code, message string) error {
	e := object{"resource": resource, "code": code}
	if field != "" {
		e["field"] = field
	}
	if message != "" {
		e["message"] = message
	}
	return &refusal{status: http.StatusUnprocessableEntity, message: "Validation Failed", errors: []any{e}}
}
