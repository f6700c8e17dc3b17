package render

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// written is one way to read an image out of a map that holds it in parts.
type written struct {
	reference, field string
	joined           bool // of several parts, so that it stands nowhere as a text
}

// composed puts an image together that is written in parts, as charts have it:
// {repository, tag, digest}, or {reference} as in image volumes. Who runs the
// object may read the parts in another order than we do, so it returns every way
// to read them, and which parts they use.
func composed(v map[string]any, field string) (all []written, used map[string]bool) {
	text := func(key string) string { s, _ := v[key].(string); return s }
	used = map[string]bool{}
	digest := text("digest")
	for _, key := range []string{"reference", "ref"} {
		whole := text(key)
		if whole == "" {
			continue
		}
		used[key] = true
		all = append(all, written{whole, fieldUnder(field, key), false})
		if digest != "" {
			named, _, _ := strings.Cut(whole, "@")
			all = append(all, written{named + "@" + digest, field, true})
			used["digest"] = true
		}
	}
	for _, key := range []string{"repository", "repo", "name"} {
		repository := text(key)
		if repository == "" || key == "name" && !nameCounts(v, len(all) > 0) {
			continue
		}
		used[key] = true
		prefix := ""
		if registry := text("registry"); registry != "" {
			prefix = strings.TrimSuffix(registry, "/") + "/"
			used["registry"] = true
		}
		suffixes := []string{""}
		if tag := scalar(v["tag"]); tag != "" {
			suffixes = []string{":" + tag}
			used["tag"] = true
		}
		if version := scalar(v["version"]); version != "" && key != "name" {
			switch {
			case strings.HasPrefix(version, "sha256:"):
				suffixes = append(suffixes, "@"+version)
			case strings.Contains(version, "@"):
				suffixes = append(suffixes, ":"+version)
			case !used["tag"] && !gitHost.MatchString(repository):
				suffixes = []string{":" + version}
			}
			used["version"] = true
		}
		if len(suffixes) > 1 && suffixes[0] == "" {
			suffixes = suffixes[1:]
		}
		for _, suffix := range suffixes {
			if digest != "" {
				suffix += "@" + digest
				used["digest"] = true
			}
			all = append(all, written{prefix + repository + suffix, field, prefix+suffix != ""})
		}
	}
	return all, used
}

// gitHost tells repositories of source code: no registry is there.
var gitHost = regexp.MustCompile(`^(github|gitlab)\.com/|^bitbucket\.org/`)

// nameCounts says whether the name in a map may be an image's. Beside another
// part that is one, most names are only that.
func nameCounts(v map[string]any, beside bool) bool {
	name, _ := v["name"].(string)
	if strings.ContainsAny(name, "/:@") {
		return true
	}
	return !beside && (scalar(v["tag"])+scalar(v["digest"])+scalar(v["registry"]) != "")
}

// scalar is a part as it would be written, a tag 16 as "16".
func scalar(v any) string {
	switch v.(type) {
	case nil, map[string]any, []any:
		return ""
	}
	return fmt.Sprint(v)
}

// addOne notes the image that all ways to read it must agree on.
func (f *imageFinder) addOne(all []written, field string, read func(reference, field string) (Image, bool, error)) error {
	var first Image
	for _, w := range all {
		image, ok, err := read(w.reference, w.field)
		if err != nil {
			return err
		}
		switch {
		case !ok:
		case first.Reference == "":
			first = image
		case image.Repository != first.Repository || image.Digest != first.Digest:
			return &Error{Object: f.object, Field: field, Err: fmt.Errorf("names two images, %q and %q, and which of them runs cannot be told; keep the parts of one", shorten(first.Reference), shorten(image.Reference))}
		}
	}
	if first.Reference != "" {
		f.images = append(f.images, first)
	}
	return nil
}

// inRest looks through a map beside the parts of its image. A part that the
// configuration lists is an image by itself.
func (f *imageFinder) inRest(v map[string]any, used map[string]bool, field string) error {
	for _, key := range slices.Sorted(maps.Keys(v)) {
		at := fieldUnder(field, key)
		var err error
		if used[key] {
			_, err = f.configured(v[key], at)
		} else {
			err = f.inField(key, v[key], at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
