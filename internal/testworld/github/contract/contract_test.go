package contract

import "testing"

// Every webhook kept has a schema that compiles.
func TestEveryWebhookSchemaCompiles(t *testing.T) {
	t.Parallel()
	hooks, err := loadWebhooks()
	if err != nil {
		t.Fatal(err)
	}
	for name := range hooks.doc.Webhooks {
		if _, _, err := hooks.schema(name); err != nil {
			t.Error(err)
		}
	}
}
