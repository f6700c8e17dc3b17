package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pawl-dev/pawl/internal/mounted"
)

// SecretFile names the file that holds a secret. Secrets never stand in the
// configuration itself, which people show each other.
type SecretFile struct {
	// The file that holds the secret. It is read again with each use, so the
	// secret can be renewed without a restart.
	File string `json:"file" jsonschema:"minLength=1,example=/etc/pawl/token"`
}

// maxSecretBytes is far above any key or token.
const maxSecretBytes = 64 << 10

// Read returns the secret as it is in the file now, without the line break
// that editors put at the end. An empty secret is an error: comparing with it,
// or sending it, would never be what was meant.
func (f SecretFile) Read() (Secret, error) {
	file, err := mounted.Open(f.File)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	var pathError *fs.PathError
	switch {
	case errors.As(err, &pathError):
		return Secret{}, fmt.Errorf("read secret: %w", err)
	case err != nil:
		return Secret{}, fmt.Errorf("read secret %s: %w", f.File, err)
	case len(text) > maxSecretBytes:
		return Secret{}, fmt.Errorf("read secret %s: larger than %d bytes, so it is no secret", f.File, maxSecretBytes)
	}
	text = bytes.TrimRight(text, "\r\n")
	if len(bytes.TrimSpace(text)) == 0 {
		return Secret{}, fmt.Errorf("read secret %s: the file is empty", f.File)
	}
	return NewSecret(string(text)), nil
}

// Secret is a text that must not be seen. However it is printed it says
// "[redacted]".
type Secret struct {
	// A function, because fmt and other printers show the content of unexported
	// fields, methods or not, but of a function only its address.
	reveal func() string
}

// NewSecret keeps a text from being seen.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal is the text itself, for sending or comparing it.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

const redacted = "[redacted]"

func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Secret) String() string               { return redacted }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
