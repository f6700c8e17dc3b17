package render

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
)

// plugins checks what generators:, transformers: or validators: configure, in a
// file or inline: only plugins that are part of kustomize, none of which runs
// helm, and none that reads what is not in the revision.
func (s *scan) plugins(folder string, content []byte) error {
	free, err := sharedKinds.use(s.ctx, false)
	if err != nil {
		return err
	}
	defer free()
	// kustomize's own reader, so that what is checked is what is used.
	parsed, err := resmap.NewFactory(provider.NewDefaultDepProvider().GetResourceFactory()).NewResMapFromBytes(content)
	if err != nil {
		return errors.New("configures no plugin: " + plain(err.Error(), nil))
	}
	for _, r := range parsed.Resources() {
		if err := s.plugin(folder, r); err != nil {
			return fmt.Errorf("%s %s: %w", r.GetKind(), r.GetName(), err)
		}
	}
	return nil
}

func (s *scan) plugin(folder string, r *resource.Resource) error {
	annotations := r.GetAnnotations()
	for _, key := range []string{"config.kubernetes.io/function", "config.k8s.io/function"} {
		if annotations[key] != "" {
			return fmt.Errorf("the annotation %s runs a program or container, which rendering never does; use a plugin that is built into kustomize, or commit what it makes", key)
		}
	}
	gvk := r.GetGvk()
	if gvk.Group != "" || gvk.Version != konfig.BuiltinPluginApiVersion || !slices.Contains(krusty.GetBuiltinPluginNames(), gvk.Kind) {
		return fmt.Errorf("%s is not built into kustomize, and rendering runs no other program; commit what it makes", gvk.Kind)
	}
	if gvk.Kind == "HelmChartInflationGenerator" {
		return errors.New("helm charts are not rendered: that runs helm and downloads charts. Commit the output of helm template as a resource")
	}
	config, err := r.Map()
	if err != nil {
		return errors.New(plain(err.Error(), nil))
	}
	return s.pluginFiles(folder, config, "", "")
}

// pluginFields are the fields by which built-in plugins name files, in lower
// case: kustomize compares without regard to case.
var pluginFields = map[string]role{
	"path": aPatchText, "paths": aPatchText, "files": aSource, "envs": aData, "env": aData, "targetfilepath": aData,
}

// pluginFiles checks every file that a plugin's configuration names. inside is
// the field of pluginFields that the value belongs to, if any.
func (s *scan) pluginFiles(folder string, value any, field, inside string) error {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			lower := strings.ToLower(key)
			if lower == "fieldspecs" || lower == "metadata" {
				continue // what is called path there is one in an object
			}
			if _, ok := pluginFields[lower]; !ok {
				lower = inside
			}
			if err := s.pluginFiles(folder, v[key], under(field, key), lower); err != nil {
				return err
			}
		}
	case []any:
		for i, child := range v {
			if err := s.pluginFiles(folder, child, under(field, fmt.Sprintf("[%d]", i)), inside); err != nil {
				return err
			}
		}
	case string:
		if inside == "" {
			return nil
		}
		if _, err := s.follow(folder, reference{field, v, pluginFields[inside]}); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimPrefix(field, "."), err)
		}
	}
	return nil
}
