package rego

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/pawl-dev/pawl/policies"
)

const (
	messagesLimit = 100 // of one policy, denied and warned each
	textLimit     = 500 // characters of a message
	nameLimit     = 300 // characters of what it is about
)

// messages reads what a rule holds: a set or list of messages, each a text, or
// an object with a text "msg" and what it is about, "object" and "image".
// Anything else is no answer, and problem says so.
func messages(rule string, value ast.Value) (said []policies.PolicyMessage, problem string) {
	var each func(func(*ast.Term))
	switch v := value.(type) {
	case ast.Set:
		each = v.Foreach
	case *ast.Array:
		each = v.Foreach
	default:
		return nil, fmt.Sprintf("%s is %s, not a set of messages; write: %s contains msg if { … }", rule, typeWords(value), rule)
	}
	more := 0
	each(func(t *ast.Term) {
		if problem != "" {
			return
		}
		var m policies.PolicyMessage
		if m, problem = message(rule, t.Value); problem != "" {
			return
		}
		if len(said) == messagesLimit {
			more++
			return
		}
		said = append(said, m)
	})
	if problem != "" {
		return nil, problem
	}
	if more > 0 {
		said = append(said, policies.PolicyMessage{Rule: rule, Text: fmt.Sprintf("and %d more", more)})
	}
	return said, ""
}

func message(rule string, value ast.Value) (policies.PolicyMessage, string) {
	m := policies.PolicyMessage{Rule: rule}
	switch v := value.(type) {
	case ast.String:
		m.Text = clip(string(v), textLimit)
	case ast.Object:
		text, ok := field(v, "msg").(ast.String)
		if !ok {
			return m, fmt.Sprintf("%s holds an object whose msg is %s; write: {\"msg\": \"…\"}", rule, typeWords(field(v, "msg")))
		}
		m.Text = clip(string(text), textLimit)
		var problem string
		if m.Object, problem = about(rule, "object", field(v, "object")); problem != "" {
			return m, problem
		}
		if m.Image, problem = about(rule, "image", field(v, "image")); problem != "" {
			return m, problem
		}
	default:
		return m, fmt.Sprintf("%s holds %s, which is no message; a message is text, or an object with a text msg", rule, typeWords(value))
	}
	if strings.TrimSpace(m.Text) == "" {
		return m, rule + " holds a message without text"
	}
	return m, ""
}

// about is what a message is about: its name, or the whole thing as it stands
// in the input.
func about(rule, key string, value ast.Value) (name, problem string) {
	switch v := value.(type) {
	case nil:
		return "", ""
	case ast.String:
		return clip(string(v), nameLimit), ""
	case ast.Object:
		if name = nameOf(v); name != "" {
			return clip(name, nameLimit), ""
		}
	}
	return "", fmt.Sprintf("%s holds a message whose %s is neither a name nor one of the input's", rule, key)
}

// nameOf is an object as reports name it, "Deployment shop-dev/web", or an
// image by its digest.
func nameOf(o ast.Object) string {
	if pinned, ok := field(o, "pinned").(ast.String); ok {
		return string(pinned)
	}
	kind, _ := field(o, "kind").(ast.String)
	metadata, ok := field(o, "metadata").(ast.Object)
	if !ok {
		return ""
	}
	name, _ := field(metadata, "name").(ast.String)
	if namespace, ok := field(metadata, "namespace").(ast.String); ok && namespace != "" {
		name = namespace + "/" + name
	}
	if kind == "" || name == "" {
		return ""
	}
	return string(kind + " " + name)
}

// field is a value in an object, nil if there is none.
func field(o ast.Object, key string) ast.Value {
	if t := o.Get(ast.StringTerm(key)); t != nil {
		return t.Value
	}
	return nil
}

func typeWords(v ast.Value) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case ast.Null:
		return "null"
	case ast.Boolean:
		return fmt.Sprint(bool(v))
	case ast.Number:
		return "a number"
	case ast.String:
		return "text"
	case *ast.Array:
		return "a list"
	case ast.Set:
		return "a set"
	default:
		return "a map"
	}
}
