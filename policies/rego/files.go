package rego

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/util"
	"sigs.k8s.io/yaml"
)

// A policy's bounds. Policies that people wrote so far have some ten files of
// some kilobytes.
const (
	maxFiles     = 200
	maxFileSize  = 256 << 10
	maxTotalSize = 2 << 20
)

// Folders are the folders of the policies in a folder: itself if it has .rego
// files, and else those in it that have some, each as a whole. An error that is
// fs.ErrNotExist says that the folder is not there.
func Folders(fsys fs.FS, folder string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return nil, fmt.Errorf("look for policies in %s: %w", folder, err)
	}
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && isRego(e.Name()) }) {
		return []string{folder}, nil
	}
	var found []string
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files, err := Files(fsys, path.Join(folder, e.Name()))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(slices.Collect(maps.Keys(files)), isRego) {
			found = append(found, path.Join(folder, e.Name()))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("look for policies in %s: there is no .rego file in it", folder)
	}
	return found, nil
}

// Files reads the files of the policy in a folder: those that end in .rego, and
// data in .yaml, .yml and .json, in all folders below, but none whose name
// begins with a dot. Links are refused: fsys must show them as such, as
// os.DirFS and gitsync.Tree.FS do.
func Files(fsys fs.FS, folder string) (map[string][]byte, error) {
	files, size := map[string][]byte{}, 0
	err := fs.WalkDir(fsys, folder, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case file != folder && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || !isRego(file) && !isData(file):
			return nil
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is no regular file; a policy is made of such files only", file)
		case len(files) == maxFiles:
			return fmt.Errorf("%s has more than %d files; a policy may not", folder, maxFiles)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := sizeFits(file, int(info.Size()), &size); err != nil {
			return err
		}
		content, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		files[strings.TrimPrefix(strings.TrimPrefix(file, folder), "/")] = content
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the policy in %s: %w", folder, err)
	}
	return files, nil
}

func sizeFits(file string, size int, total *int) error {
	*total += size
	switch {
	case size > maxFileSize:
		return fmt.Errorf("%s has %d KiB; a policy's file may have %d", file, size>>10, maxFileSize>>10)
	case *total > maxTotalSize:
		return fmt.Errorf("%s makes the policy larger than %d KiB", file, maxTotalSize>>10)
	}
	return nil
}

func isRego(file string) bool { return strings.HasSuffix(file, ".rego") }

func isData(file string) bool {
	return strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml") || strings.HasSuffix(file, ".json")
}

// isTest says whether a file is for tests only, code or data.
func isTest(file string) bool {
	return strings.HasSuffix(strings.TrimSuffix(file, path.Ext(file)), "_test")
}

// bounded holds the files to the limits, whoever read them.
func bounded(files map[string][]byte) []Problem {
	if len(files) > maxFiles {
		return []Problem{{Text: fmt.Sprintf("has %d files; a policy may have %d", len(files), maxFiles)}}
	}
	total := 0
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := sizeFits(file, len(files[file]), &total); err != nil {
			return []Problem{{Text: err.Error()}}
		}
	}
	return nil
}

// documents are a policy's data: the content of each data file, merged below
// the file's folder as OPA does, and the parameters below "parameters".
func documents(files map[string][]byte, tests bool, parameters map[string]any) (map[string]any, []Problem) {
	data, problems := map[string]any{}, []Problem(nil)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !isData(file) || isTest(file) && !tests {
			continue
		}
		content, err := readData(files[file])
		if err == nil {
			err = merge(at(data, path.Dir(file)), content)
		}
		if err != nil {
			problems = append(problems, Problem{File: file, Text: err.Error()})
		}
	}
	below, ok := data[parametersKey].(map[string]any)
	if !ok {
		if data[parametersKey] != nil {
			problems = append(problems, Problem{Text: "data.parameters is no map; a file may only hold defaults for parameters there"})
		}
		below = map[string]any{}
		data[parametersKey] = below
	}
	maps.Copy(below, parameters)
	return data, problems
}

// parametersKey is where a policy finds the parameters that it is given.
const parametersKey = "parameters"

func readData(text []byte) (map[string]any, error) {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, errors.New("is no valid YAML or JSON, or has a key twice") // the library quotes what it read
	}
	var content any
	if err := util.UnmarshalJSON(asJSON, &content); err != nil {
		return nil, errors.New("is no valid JSON")
	}
	fields, ok := content.(map[string]any)
	if !ok {
		return nil, errors.New("is no map; data needs a name, such as registries: […]")
	}
	return fields, nil
}

// at is the map in data for a folder, made if need be; nil if something else
// stands there.
func at(data map[string]any, folder string) map[string]any {
	if folder == "." {
		return data
	}
	for step := range strings.SplitSeq(folder, "/") {
		next, ok := data[step].(map[string]any)
		if !ok {
			if data[step] != nil {
				return nil
			}
			next = map[string]any{}
			data[step] = next
		}
		data = next
	}
	return data
}

func merge(into, from map[string]any) error {
	if into == nil {
		return errors.New("stands in a folder whose name is a key of another data file")
	}
	for key, value := range from {
		there, exists := into[key]
		a, aMap := there.(map[string]any)
		b, bMap := value.(map[string]any)
		switch {
		case !exists:
			into[key] = value
		case aMap && bMap:
			if err := merge(a, b); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%.100q is defined by another data file, too", key)
		}
	}
	return nil
}
