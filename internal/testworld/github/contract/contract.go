// Package contract holds GitHub's own description of its API and webhooks, and
// says whether a message keeps to it. The stand-in for GitHub is checked with
// it on every exchange, so it cannot drift from the real one; so is every
// request Pawl sends.
//
// Where the description is silent or wrong, rules.go says more, each rule with
// its source. update.sh moves to a newer description.
package contract

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

//go:embed github.json.gz
var githubJSON []byte

//go:embed webhooks.json.gz
var webhooksJSON []byte

// Contract checks messages. It is safe for concurrent use.
type Contract struct {
	doc    *openapi3.T
	routes []route
}

// New returns the contract. It is read once per process; later calls are free.
func New() (*Contract, error) { return load() }

var load = sync.OnceValues(func() (*Contract, error) {
	text, err := gunzip(githubJSON)
	if err != nil {
		return nil, fmt.Errorf("unpack GitHub's API description: %w", err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("read GitHub's API description: %w", err)
	}
	return &Contract{doc: doc, routes: routesOf(doc)}, nil
})

func gunzip(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// options: defaults are never written into the messages we look at, every
// problem is reported, not the first one, and without printing whole schemas.
func options() *openapi3filter.Options {
	return &openapi3filter.Options{
		MultiError:                        true,
		SkipSettingDefaults:               true,
		RejectWhenRequestBodyNotSpecified: true,
		IncludeResponseStatus:             true,
		SchemaValidationOptions:           []openapi3.SchemaValidationOption{openapi3.DisableSchemaErrorDetails()},
	}
}

// CheckRequest says what in the request GitHub does not describe or would
// refuse whatever its state; nil when nothing. It does not read r.Body.
func (c *Contract) CheckRequest(r *http.Request, body []byte) error {
	found, params, err := c.find(r)
	if err != nil {
		return err
	}
	var problems []string
	body = describedForm(found, body)

	// A GET with an empty tail (contents/, matching-refs/) means the root.
	for name, value := range params {
		if value == "" {
			params[name] = "/"
		}
	}
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	copied.GetBody = nil
	copied.ContentLength = int64(len(body))
	err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: copied, PathParams: params, Route: found.route(c.doc), Options: options(),
	})
	problems = append(problems, explain(err)...)

	problems = append(problems, found.undescribedQuery(r.URL.Query())...)
	if value, ok := decode(body); ok {
		if content := found.requestContent(); content != nil {
			problems = append(problems, undescribedFields(content.Schema, value)...)
		}
		problems = append(problems, requestRules(found, value)...)
	}
	return join(problems)
}

// CheckResponse says what in the answer to r differs from what GitHub answers.
func (c *Contract) CheckResponse(r *http.Request, status int, header http.Header, body []byte) error {
	found, params, err := c.find(r)
	if err != nil {
		return err
	}
	switch {
	case status >= 500:
		return nil // what GitHub's front door says when what is behind it fails: any text
	case r.Method == http.MethodHead, status == http.StatusNoContent, status == http.StatusNotModified:
		if len(body) > 0 {
			return fmt.Errorf("%s answered %d must have no body", r.Method, status)
		}
		if status == http.StatusNotModified && found.method == http.MethodGet {
			return nil // any GET, described or not: docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api
		}
	case status >= 400:
		if problems := errorShape(header, body); len(problems) > 0 {
			return join(problems)
		}
		if found.op.Responses.Status(status) == nil {
			return nil // 401, 403, 404 and 429 may come anywhere, described or not
		}
	case otherMediaType(found, r, header):
		return nil
	}

	problems := explain(openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: found.route(c.doc), Options: options(),
		},
		Status: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Options: options(),
	}))
	if status >= 400 {
		// Basic errors also fit the richer one that is offered beside them, so
		// GitHub's own answers match both: contents, 409.
		problems = slices.DeleteFunc(problems, func(p string) bool { return p == "/: input matches more than one oneOf schemas" })
	}
	if value, ok := decode(body); ok {
		if content := found.responseContent(status); content != nil {
			problems = append(problems, undescribedFields(content.Schema, value)...)
		}
		problems = append(problems, responseRules(found, status, value)...)
	}
	return join(problems)
}

// explain turns the validator's errors into one line for each problem: where,
// and what.
func explain(err error) []string {
	switch err := err.(type) {
	case nil:
		return nil
	case openapi3.MultiError:
		var out []string
		for _, one := range err {
			out = append(out, explain(one)...)
		}
		return out
	case *openapi3filter.RequestError:
		where := ""
		if err.Parameter != nil {
			where = fmt.Sprintf("%s parameter %q: ", err.Parameter.In, err.Parameter.Name)
		}
		return prefixed(where, err.Reason, err.Err)
	case *openapi3filter.ResponseError:
		return prefixed("", err.Reason, err.Err)
	case *openapi3.SchemaError:
		at := "/" + strings.Join(err.JSONPointer(), "/")
		if err.Origin != nil {
			return []string{at + ": " + err.Origin.Error()}
		}
		return []string{at + ": " + err.Reason}
	}
	return []string{err.Error()}
}

func prefixed(where, reason string, cause error) []string {
	if cause == nil {
		return []string{where + reason}
	}
	lines := explain(cause)
	for i := range lines {
		lines[i] = where + lines[i]
	}
	return lines
}

func join(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	sort.Strings(problems)
	return errors.New(strings.Join(problems, "\n"))
}

// undescribedQuery: GitHub ignores a query parameter it does not know, so a
// misspelled filter silently returns everything.
func (f found) undescribedQuery(query url.Values) []string {
	var out []string
	for name := range query {
		known := false
		for _, params := range []openapi3.Parameters{f.op.Parameters, f.item.Parameters} {
			known = known || params.GetByInAndName(openapi3.ParameterInQuery, name) != nil
		}
		if !known {
			out = append(out, fmt.Sprintf("query parameter %q is not described", name))
		}
	}
	return out
}
