package contract

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// webhooks are described in OpenAPI 3.1, whose schemas are plain JSON Schema:
// a validator of those is stricter and, compiled once, 50 times faster here
// than the OpenAPI library, which serves only to look for undescribed fields.
type webhooks struct {
	doc      *openapi3.T
	compiler *jsonschema.Compiler
	mu       sync.Mutex // the compiler is not safe for concurrent use
	compiled map[string]*jsonschema.Schema
}

const webhooksURL = "https://api.github.com/webhooks.json"

// loadWebhooks runs once, and only in a process that has a webhook to check.
var loadWebhooks = sync.OnceValues(func() (*webhooks, error) {
	text, err := gunzip(webhooksJSON)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	// GitHub keeps to neither: {/sha} is no template, and the address of an App,
	// 1+name[bot]@users.noreply.github.com, is no address.
	for _, loose := range []string{"uri-template", "email"} {
		c.RegisterFormat(&jsonschema.Format{Name: loose, Validate: func(any) error { return nil }})
	}
	if err := c.AddResource(webhooksURL, raw); err != nil {
		return nil, err
	}
	return &webhooks{doc: doc, compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
})

func (w *webhooks) schema(name string) (*jsonschema.Schema, *openapi3.SchemaRef, error) {
	item := w.doc.Webhooks[name]
	if item == nil {
		return nil, nil, fmt.Errorf("GitHub does not describe a webhook %q; if it does, add it to cut.mjs and run update.sh", name)
	}
	described := item.Post.RequestBody.Value.Content.Get("application/json").Schema
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.compiled[name]; s != nil {
		return s, described, nil
	}
	s, err := w.compiler.Compile(webhooksURL + "#/webhooks/" + name + "/post/requestBody/content/application~1json/schema")
	if err != nil {
		return nil, nil, fmt.Errorf("compile the schema of webhook %q: %w", name, err)
	}
	w.compiled[name] = s
	return s, described, nil
}

// webhookHeaders are the headers each webhook is described with, and the form
// of those where the description says string and the documentation says more.
// docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
var webhookHeaders = map[string]*regexp.Regexp{
	"User-Agent":                             regexp.MustCompile(`^GitHub-Hookshot/`),
	"X-GitHub-Hook-ID":                       regexp.MustCompile(`^[0-9]+$`),
	"X-GitHub-Event":                         regexp.MustCompile(`^[a-z_]+$`),
	"X-GitHub-Hook-Installation-Target-ID":   regexp.MustCompile(`^[0-9]+$`),
	"X-GitHub-Hook-Installation-Target-Type": regexp.MustCompile(`^(repository|organization|integration|business|marketplace|sponsorslisting|user)$`),
	"X-GitHub-Delivery":                      regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"X-Hub-Signature-256":                    regexp.MustCompile(`^sha256=[0-9a-f]{64}$`),
}

// maxWebhook: "Payloads are capped at 25 MB. If an event generates a larger
// payload, GitHub will not deliver a payload for that webhook event."
// docs.github.com/webhooks/webhook-events-and-payloads#payload-cap
const maxWebhook = 25 << 20

// CheckWebhook says what in a delivery differs from what GitHub sends for the
// event. It does not know the secret, so it sees only that there is a signature.
func (c *Contract) CheckWebhook(event string, header http.Header, body []byte) error {
	var problems []string
	for name, form := range webhookHeaders {
		if value := header.Get(name); !form.MatchString(value) {
			problems = append(problems, fmt.Sprintf("header %s: %q does not match %s", name, value, form))
		}
	}
	if got := header.Get("X-GitHub-Event"); got != event {
		problems = append(problems, fmt.Sprintf("header X-GitHub-Event: %q, but the event is %q", got, event))
	}
	if len(body) > maxWebhook {
		problems = append(problems, fmt.Sprintf("%d bytes: GitHub does not deliver more than %d", len(body), maxWebhook))
	}
	problems = append(problems, c.checkPayload(event, header.Get("Content-Type"), body)...)
	return join(problems)
}

func (c *Contract) checkPayload(event, contentType string, body []byte) []string {
	switch mediaType, _, _ := mime.ParseMediaType(contentType); mediaType {
	case "application/json":
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return []string{fmt.Sprintf("the form cannot be read: %v", err)}
		}
		body = []byte(form.Get("payload"))
	default:
		return []string{fmt.Sprintf("header Content-Type: %q is neither JSON nor a form", contentType)}
	}

	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return []string{fmt.Sprintf("the payload is not JSON: %v", err)}
	}
	hooks, err := loadWebhooks()
	if err != nil {
		return []string{fmt.Sprintf("read GitHub's description of webhooks: %v", err)}
	}
	schema, described, err := hooks.schema(webhookName(event, value))
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	var invalid *jsonschema.ValidationError
	if err := schema.Validate(value); errors.As(err, &invalid) {
		problems = leaves(invalid, problems)
	}
	return append(problems, undescribedFields(described, value)...)
}

// leaves lists what is wrong, without the "validation failed" of all around it.
func leaves(e *jsonschema.ValidationError, into []string) []string {
	if len(e.Causes) == 0 {
		out := e.BasicOutput()
		return append(into, fmt.Sprintf("%s: %s", out.InstanceLocation, out.Error))
	}
	for _, cause := range e.Causes {
		into = leaves(cause, into)
	}
	return into
}

// webhookName is what GitHub calls the webhook in its description: pull_request
// with action ready_for_review is pull-request-ready-for-review.
func webhookName(event string, payload any) string {
	if event == "repository_dispatch" { // its action is whatever the sender chose
		return "repository-dispatch-sample.collected"
	}
	name := event
	object, _ := payload.(map[string]any)
	if action, ok := object["action"].(string); ok {
		name += "_" + action
	}
	return strings.ReplaceAll(name, "_", "-")
}
