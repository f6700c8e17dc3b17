package sealed

import (
	"bytes"
	"testing"
)

// Whatever comes through the pipe, the parent neither panics nor takes more than
// the limit.
func FuzzReceive(f *testing.F) {
	var whole bytes.Buffer
	_ = send(&whole, kindFound, found{"done"}, []byte("body"))
	f.Add(whole.Bytes())
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3, '{', '}', '\n'})
	f.Add([]byte{1, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, from []byte) {
		m, err := receive(bytes.NewReader(from), 1<<10)
		if err != nil {
			return
		}
		if len(m.Header)+len(m.Body) > 1<<10 {
			t.Fatalf("%d bytes", len(m.Header)+len(m.Body))
		}
		_ = m.Decode(new(found))
	})
}
