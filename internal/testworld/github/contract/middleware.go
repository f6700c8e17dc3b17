package contract

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Direction says which side of an exchange broke the contract.
type Direction string

const (
	Request  Direction = "request"
	Response Direction = "response"
	Webhook  Direction = "webhook"
)

// Violation is a message that GitHub would not have sent or not have taken.
type Violation struct {
	Direction Direction
	Method    string
	Path      string
	Status    int // of the answer
	What      string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s %s %s (answered %d): %s", v.Direction, v.Method, v.Path, v.Status, v.What)
}

// Middleware checks both directions of every exchange and reports what breaks
// the contract; the exchange itself is not changed. Put it around the REST API
// only, not around git and GraphQL, which GitHub describes elsewhere, and put
// faults (a slow body, a reset) outside of it: it holds the answer back until
// it is checked, so a client that has the answer knows all is reported.
func (c *Contract) Middleware(next http.Handler, report func(Violation)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		asked := r.Clone(r.Context()) // a handler may strip the prefix
		asked.Body = http.NoBody
		r.Body = io.NopCloser(bytes.NewReader(sent))

		answer := &held{header: w.Header()}
		next.ServeHTTP(answer, r)
		if answer.status == 0 {
			answer.status = http.StatusOK
		}

		v := Violation{Method: r.Method, Path: asked.URL.Path, Status: answer.status}
		if err := c.CheckRequest(asked, sent); err != nil {
			v.Direction, v.What = Request, err.Error()
			report(v)
		}
		if err := c.CheckResponse(asked, answer.status, w.Header(), answer.body.Bytes()); err != nil {
			v.Direction, v.What = Response, err.Error()
			report(v)
		}
		w.WriteHeader(answer.status)
		w.Write(answer.body.Bytes()) // the client may be gone; nothing to do then
	})
}

// held is an answer not yet sent.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}
