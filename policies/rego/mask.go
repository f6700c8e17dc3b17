package rego

// mask stands in the place of every value in a Secret: what policies never see
// can never be in what they say.
const mask = "masked"

// lastApplied is where "kubectl apply" leaves a whole object, secrets and all.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// maskedObject is a copy of an object without the secrets in it.
func maskedObject(object map[string]any) map[string]any {
	copied, _ := masked(object).(map[string]any)
	return copied
}

// masked is a copy of a value without the secrets in it, wherever a Secret
// stands: some kinds hold whole objects.
func masked(value any) any {
	switch v := value.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		secret := v["kind"] == "Secret"
		for key, item := range v {
			switch {
			case secret && (key == "data" || key == "stringData"):
				copied[key] = withoutValues(item)
			case key == lastApplied:
				copied[key] = mask
			default:
				copied[key] = masked(item)
			}
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, item := range v {
			copied[i] = masked(item)
		}
		return copied
	default:
		return value
	}
}

// withoutValues keeps the keys, by which policies see that there is something.
func withoutValues(data any) any {
	switch v := data.(type) {
	case nil:
		return nil
	case map[string]any:
		keys := make(map[string]any, len(v))
		for key := range v {
			keys[key] = mask
		}
		return keys
	default:
		return mask
	}
}
