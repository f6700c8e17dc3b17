package sealed

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind is what a message is. Each worker numbers its own.
type Kind byte

// The first message to a child and its answer, before any of a worker's.
const (
	kindStart Kind = iota + 1 // settings
	kindReady                 // guards
)

// Message is its kind, the length of the rest, a header in JSON on one line, and
// bytes that the header tells how to read.
type Message struct {
	Kind         Kind
	Header, Body []byte
}

// Decode reads the header into a value that has a field for all that is in it.
// Its error ends the conversation: nothing more that the other says would count.
func (m Message) Decode(into any) error {
	decoder := json.NewDecoder(bytes.NewReader(m.Header))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return &broken{err}
	}
	return nil
}

// MaxHeader bounds what a child says beside what it was asked to make.
const MaxHeader = 32 << 20

func send(w io.Writer, k Kind, header any, body []byte) error {
	var b bytes.Buffer
	b.Write(make([]byte, 9))
	if err := json.NewEncoder(&b).Encode(header); err != nil {
		return fmt.Errorf("message %d: %w", k, err)
	}
	b.Write(body)
	message := b.Bytes()
	message[0] = byte(k)
	binary.BigEndian.PutUint64(message[1:], uint64(len(message)-9))
	_, err := w.Write(message)
	return err
}

// errTooLong says that a message is longer than its reader takes.
var errTooLong = errors.New("a message is too long")

// receive reads a message of at most limit bytes.
func receive(r io.Reader, limit int64) (Message, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}
	n := binary.BigEndian.Uint64(head[1:])
	if n > uint64(limit) {
		return Message{}, errTooLong
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(r, message); err != nil {
		return Message{}, err
	}
	header, body, _ := bytes.Cut(message, []byte("\n"))
	return Message{Kind(head[0]), header, body}, nil
}
