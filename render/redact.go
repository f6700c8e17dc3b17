package render

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	// kustomize adds whole configurations and patches to its messages.
	quotedConfig = regexp.MustCompile("(?s)with config: `.*`")
	quotedPatch  = regexp.MustCompile(`(?s)\[patch: ".*"\]`)
	quotedOps    = regexp.MustCompile(`(?s)(decoding|JsonOp=|Patch=|literal sources) .*?(: |$)`)
	quotedText   = regexp.MustCompile(`(?s)(invalid literal source|has invalid utf8 bytes :|invalid document separator:|unknown anchor|cannot decode \S+) .*?(, expected| referenced| as a|$)`)
	byteDump     = regexp.MustCompile(`\[\d+( \d+)+\]`)
	rooted       = regexp.MustCompile(`(^|[\s'"=(\[])/([\w.-]+)`)
)

// plain makes kustomize's message fit to be shown: without the files that it
// quotes, without any of the secrets, on one line and of bounded length.
func plain(text string, secrets []string) string {
	text = quotedConfig.ReplaceAllString(text, "with its configuration")
	text = quotedPatch.ReplaceAllString(text, "an inline patch")
	text = quotedOps.ReplaceAllString(text, "$1 …$2")
	text = quotedText.ReplaceAllString(text, "$1 …$2")
	text = byteDump.ReplaceAllString(text, "…")
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "…")
	}
	if first, _, more := strings.Cut(strings.TrimSpace(text), "\n"); more {
		text = first + " …"
	}
	text = rooted.ReplaceAllString(text, "$1$2")
	if len(text) > 600 {
		text = strings.ToValidUTF8(text[:300], "") + " … " + strings.ToValidUTF8(text[len(text)-300:], "")
	}
	return text
}

// secrets are the values that an overlay holds for Secrets: from manifests,
// patches and generators, as they stand there and as they are encoded, the
// longest first. It is asked for only where a build has failed.
func (s *scan) secrets() []string {
	values := map[string]bool{}
	add := func(value string) {
		for _, v := range append(strings.Split(value, "\n"), value) {
			if v = strings.TrimSpace(v); len(v) >= 4 {
				values[v] = true
				values[base64.StdEncoding.EncodeToString([]byte(v))] = true
			}
		}
		values[base64.StdEncoding.EncodeToString([]byte(value))] = len(value) > 0
	}
	for _, f := range s.manifests {
		secretValues(s.fs.contents[f.File], f.Patch, add)
	}
	for _, k := range s.kustomizations {
		for _, p := range k.content.Patches {
			secretValues([]byte(p.Patch), true, add)
		}
		for _, p := range k.content.PatchesStrategicMerge {
			secretValues([]byte(p), true, add)
		}
		for _, p := range k.content.PatchesJson6902 {
			secretValues([]byte(p.Patch), true, add)
		}
		for i := range k.content.SecretGenerator {
			g := &k.content.SecretGenerator[i]
			for _, l := range g.LiteralSources {
				_, value, pair := strings.Cut(l, "=")
				if !pair {
					value = l // the key was forgotten
				}
				add(strings.Trim(value, `"'`))
			}
		}
		for _, ref := range references(&k.content) {
			if !strings.HasPrefix(ref.field, "secretGenerator") {
				continue
			}
			_, file, ok := strings.Cut(ref.value, "=")
			if !ok {
				file = ref.value
			}
			content := string(s.fs.contents[inTree(k.folder+"/"+file)])
			add(content)
			for line := range strings.Lines(content) {
				_, value, _ := strings.Cut(line, "=")
				add(value)
			}
		}
	}
	var all []string
	for v, ok := range values {
		if ok {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// secretValues finds every scalar in documents that are Secrets. A patch often
// does not say what it patches: every value in one that is no other kind counts.
func secretValues(content []byte, patch bool, add func(string)) {
	docs, _ := parseYAML(content)
	for _, doc := range docs {
		if len(doc.Content) == 0 {
			continue
		}
		root := doc.Content[0]
		kind := childOf(root, "kind")
		if kind == nil && !patch || kind != nil && kind.Value != "Secret" && !strings.HasSuffix(kind.Value, "List") {
			continue
		}
		eachValue(root, "", add)
	}
}

// eachValue visits the scalars below a node that are no names of things.
func eachValue(n *yaml.Node, key string, visit func(string)) {
	switch n.Kind {
	case yaml.ScalarNode:
		switch key {
		case "apiVersion", "kind", "name", "namespace", "type", "op", "path":
		default:
			visit(n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			eachValue(n.Content[i+1], n.Content[i].Value, visit)
		}
	default:
		for _, child := range n.Content {
			eachValue(child, key, visit)
		}
	}
}
