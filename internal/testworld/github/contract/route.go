package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

// route is one described path. The libraries' own routers cannot be used: they
// do not let a branch or a file name hold a slash, and GitHub does.
type route struct {
	template string
	pattern  *regexp.Regexp
	names    []string
	fixed    int // characters outside parameters: the more, the more exact
	item     *openapi3.PathItem
}

// found is a described operation that a request is meant for.
type found struct {
	method, template string
	item             *openapi3.PathItem
	op               *openapi3.Operation
}

// slashed are the parameters whose value may contain slashes.
var slashed = map[string]string{
	"ref":      `(.+)`,
	"branch":   `(.+)`,
	"basehead": `(.+)`,
	"path":     `(.*)`, // contents/ is the root folder
}

var parameter = regexp.MustCompile(`\{([^}]+)\}`)

func routesOf(doc *openapi3.T) []route {
	var routes []route
	for template, item := range doc.Paths.Map() {
		r := route{template: template, item: item, fixed: len(parameter.ReplaceAllString(template, ""))}
		pattern, rest := "", template
		for _, m := range parameter.FindAllStringSubmatch(template, -1) {
			before, after, _ := strings.Cut(rest, m[0])
			value := `([^/]+)`
			if s, ok := slashed[m[1]]; ok {
				value = s
			}
			if strings.HasSuffix(template, "/matching-refs/{ref}") && m[1] == "ref" {
				value = `(.*)` // matching-refs/ lists all
			}
			pattern += regexp.QuoteMeta(before) + value
			rest = after
			r.names = append(r.names, m[1])
		}
		r.pattern = regexp.MustCompile("^" + pattern + regexp.QuoteMeta(rest) + "$")
		routes = append(routes, r)
	}
	sort.Slice(routes, func(i, j int) bool {
		if routes[i].fixed != routes[j].fixed {
			return routes[i].fixed > routes[j].fixed
		}
		return routes[i].template < routes[j].template
	})
	return routes
}

// find matches the path as it was sent, still escaped: in commits/a%2Fstatus
// the branch is a/status, in commits/a/status the combined status is asked for.
func (c *Contract) find(r *http.Request) (found, map[string]string, error) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/v3")
	described := map[string]bool{}
	for _, candidate := range c.routes {
		values := candidate.pattern.FindStringSubmatch(path)
		if values == nil {
			continue
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		op := candidate.item.GetOperation(method)
		if op == nil {
			for method := range candidate.item.Operations() {
				described[method] = true
			}
			continue
		}
		params := map[string]string{}
		for i, name := range candidate.names {
			value, err := url.PathUnescape(values[i+1])
			if err != nil {
				return found{}, nil, fmt.Errorf("path parameter %q: %w", name, err)
			}
			params[name] = value
		}
		return found{method: method, template: candidate.template, item: candidate.item, op: op}, params, nil
	}
	if len(described) > 0 {
		var methods []string
		for m := range described {
			methods = append(methods, m)
		}
		sort.Strings(methods)
		return found{}, nil, fmt.Errorf("GitHub does not describe %s here, only %s", r.Method, strings.Join(methods, ", "))
	}
	return found{}, nil, fmt.Errorf("GitHub does not describe %s %s; if it does, add the path to cut.mjs and run update.sh", r.Method, path)
}

func (f found) is(method, template string) bool {
	return f.method == method && f.template == template
}

func (f found) route(doc *openapi3.T) *routers.Route {
	return &routers.Route{Spec: doc, Path: f.template, PathItem: f.item, Method: f.method, Operation: f.op}
}

func (f found) requestContent() *openapi3.MediaType {
	if f.op.RequestBody == nil {
		return nil
	}
	return f.op.RequestBody.Value.Content.Get("application/json")
}

func (f found) responseContent(status int) *openapi3.MediaType {
	response := f.op.Responses.Status(status)
	if response == nil {
		return nil
	}
	return response.Value.Content.Get("application/json")
}
