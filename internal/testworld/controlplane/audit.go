package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"
)

// Audit reads the API server's audit log, which tests take as the judge of who
// did what. The log is complete: a request that was answered is in it. It has
// everything that anybody outside of the control plane did, with the object
// of every write; of the control plane itself it has writes, without objects
// and without its leases and events.
type Audit struct{ path string }

// Marker is a moment in the audit log. The zero Marker is its beginning.
type Marker int64

// Event is one request. A watch counts once, when it begins.
type Event struct {
	// Time is when it was answered, or a watch began; Received when it arrived.
	Time, Received time.Time
	// User authenticated; ImpersonatedUser is who it acted as, or empty. A
	// creation that RBAC refused has no Name: its body was never read.
	User, ImpersonatedUser                              string
	Verb, Group, Resource, Subresource, Namespace, Name string
	// FieldManager and DryRun are the request's own words.
	FieldManager string
	DryRun       bool
	// Code is the answer's HTTP status, Message its explanation if refused. A
	// write has neither, nor an object, if it is still being answered, if a kill
	// came in between, or if its body was YAML, which the audit log cannot hold:
	// send server-side applies as JSON to have their objects here.
	Code       int
	Message    string
	UserAgent  string
	RequestURI string
	// RequestObject is what a write sent: an object, a patch or options.
	RequestObject json.RawMessage

	superseded bool // another event has the answer to this one
}

// Events are requests in the order in which they were answered.
type Events []Event

// Mark is now: Since returns what is answered after it.
func (a *Audit) Mark() (Marker, error) {
	if err := a.available(); err != nil {
		return 0, err
	}
	info, err := os.Stat(a.path)
	if err != nil {
		return 0, fmt.Errorf("read the audit log: %w", err)
	}
	return Marker(info.Size()), nil
}

// Since returns the requests that were answered after a marker.
func (a *Audit) Since(m Marker) (Events, error) {
	if err := a.available(); err != nil {
		return nil, err
	}
	file, err := os.Open(a.path)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(max(0, int64(m)-1), io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	// What follows the last newline is being written, or was cut off by a kill.
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	if m > 0 { // the marker may be within a line that was being written
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	var events Events
	arrived := map[string]int{} // audit ID → index of a write whose answer is still to come
	for line := range bytes.Lines(content) {
		event, id, stage, err := parseEvent(line)
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if at, pending := arrived[id]; pending {
			events[at].superseded = true
			delete(arrived, id)
		}
		switch {
		case stage == "RequestReceived":
			arrived[id] = len(events)
		case stage == "ResponseComplete" && event.Verb == "watch" && event.Code == http.StatusOK:
			continue // it was logged when it began
		}
		events = append(events, event)
	}
	return slices.DeleteFunc(events, func(e Event) bool { return e.superseded }), nil
}

// Writes are the requests of a user, in its own name or impersonated, or of
// anybody for "", that change something: dry runs and reviews do not. Refused
// ones count too; look at Code to tell them apart.
func (es Events) Writes(user string) Events {
	return es.of(user, Event.IsWrite)
}

// By are all requests of a user, in its own name or impersonated.
func (es Events) By(user string) Events {
	return es.of(user, func(Event) bool { return true })
}

func (es Events) of(user string, counts func(Event) bool) Events {
	var found Events
	for _, e := range es {
		if counts(e) && (user == "" || e.User == user || e.ImpersonatedUser == user) {
			found = append(found, e)
		}
	}
	return found
}

// IsWrite says whether the request asks for a change.
func (e Event) IsWrite() bool {
	asks := e.Group == "authorization.k8s.io" || e.Group == "authentication.k8s.io" || e.Subresource == "token"
	return slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, e.Verb) &&
		e.Resource != "" && !e.DryRun && !asks
}

// String is a line for a test's failure message.
func (e Event) String() string {
	user, name, resource := e.User, e.Name, e.Resource
	if e.ImpersonatedUser != "" {
		user += " as " + e.ImpersonatedUser
	}
	if e.Namespace != "" {
		name = e.Namespace + "/" + name
	}
	if e.Subresource != "" {
		resource += "/" + e.Subresource
	}
	dry := ""
	if e.DryRun {
		dry = " (dry run)"
	}
	return fmt.Sprintf("%s %s %s %s by %s with %s: %d%s", e.Time.Format("15:04:05.000"), e.Verb, resource, name, user, e.UserAgent, e.Code, dry)
}

func (a *Audit) available() error {
	if a.path == "" {
		return errors.New("a cluster that was there before has no audit log for us to read")
	}
	return nil
}

// parseEvent reads one line.
func parseEvent(line []byte) (e Event, id, stage string, err error) {
	var in struct {
		AuditID, Stage, RequestURI, Verb, UserAgent string
		User                                        struct{ Username string }
		ImpersonatedUser                            struct{ Username string }
		ObjectRef                                   struct{ Resource, Namespace, Name, APIGroup, Subresource string }
		ResponseStatus                              struct {
			Code    int
			Message string
		}
		RequestObject                            json.RawMessage
		StageTimestamp, RequestReceivedTimestamp time.Time
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return Event{}, "", "", fmt.Errorf("%w in %.200q", err, line)
	}
	e = Event{
		Time: in.StageTimestamp, Received: in.RequestReceivedTimestamp,
		User: in.User.Username, ImpersonatedUser: in.ImpersonatedUser.Username,
		Verb: in.Verb, Group: in.ObjectRef.APIGroup, Resource: in.ObjectRef.Resource,
		Subresource: in.ObjectRef.Subresource, Namespace: in.ObjectRef.Namespace, Name: in.ObjectRef.Name,
		Code: in.ResponseStatus.Code, Message: in.ResponseStatus.Message,
		UserAgent: in.UserAgent, RequestURI: in.RequestURI, RequestObject: in.RequestObject,
	}
	if uri, err := url.Parse(in.RequestURI); err == nil {
		e.FieldManager = uri.Query().Get("fieldManager")
		e.DryRun = uri.Query().Has("dryRun")
	}
	// A deletion says it in its body.
	var options struct {
		Kind   string
		DryRun []string
	}
	if len(in.RequestObject) > 0 && json.Unmarshal(in.RequestObject, &options) == nil && options.Kind == "DeleteOptions" && len(options.DryRun) > 0 {
		e.DryRun = true
	}
	return e, in.AuditID, in.Stage, nil
}
