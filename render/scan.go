package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"strings"

	"github.com/agnivade/levenshtein"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/pawl-dev/pawl/gitsync"
)

// scan reads every kustomization that an overlay reaches, before kustomize
// does, and refuses whatever would leave the revision: kustomize itself fetches
// URLs and git repositories from any field, and has no option against it.
type scan struct {
	ctx    context.Context // of the one render that a scan is part of
	fs     *treeFS
	limits Limits
	known  *knownFiles

	kustomizations []kustomization
	manifests      []Manifest
	// openAPI says that some kustomization brings a schema of its own.
	openAPI bool

	done  map[string]bool // folders
	above []string        // folders on the way to the one being scanned
}

// kustomization is one that was reached.
type kustomization struct {
	folder, file string
	content      types.Kustomization
}

// folder scans the kustomization in a folder and all that it reaches.
func (s *scan) folder(folder string) error {
	if s.done[folder] {
		return nil
	}
	file, content, err := s.kustomizationFile(folder)
	if err != nil {
		return err
	}
	if _, err := s.checkYAML(file, content); err != nil {
		return err
	}
	var k types.Kustomization
	if err := k.Unmarshal(content); err != nil {
		return undecodable(file, content, err)
	}
	s.kustomizations = append(s.kustomizations, kustomization{folder, file, k})
	s.openAPI = s.openAPI || len(k.OpenAPI) > 0
	fail := func(field string, err error) error {
		if field == "" {
			return err
		}
		return &Error{File: file, Line: lineOf(content, field), Field: field, Err: err}
	}
	if field := helmField(&k); field != "" {
		return fail(field, errors.New("helm charts are not rendered: that runs helm and downloads charts. Commit the output of helm template as a resource"))
	}
	s.above = append(s.above, folder)
	for i, p := range k.Patches {
		if err := s.inline(p.Patch); err != nil {
			return fail(fmt.Sprintf("patches[%d].patch", i), err)
		}
	}
	for _, ref := range references(&k) {
		if field, err := s.follow(folder, ref); err != nil {
			return fail(field, err)
		}
	}
	s.above = s.above[:len(s.above)-1]
	s.done[folder] = true
	return nil
}

// kustomizationFile finds and reads the one kustomization of a folder.
func (s *scan) kustomizationFile(folder string) (string, []byte, error) {
	var found string
	var content []byte
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		file := path.Join(folder, name)
		read, err := s.fs.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", nil, err
		case found != "":
			return "", nil, &Error{File: file, Err: fmt.Errorf("is a second kustomization beside %s; keep one", found)}
		default:
			found, content = file, read
		}
	}
	if found == "" {
		return "", nil, &Error{File: folder, Err: errNoKustomization}
	}
	return found, content, nil
}

var errNoKustomization = errors.New("has no kustomization.yaml")

// follow checks one reference and goes on to what it names. The field that it
// returns is empty where the error already has a place of its own.
func (s *scan) follow(folder string, ref reference) (string, error) {
	switch ref.role {
	case aPlugin:
		if looksInline(ref.value) {
			return ref.field, s.plugins(folder, []byte(ref.value))
		}
	case aPatchText:
		// kustomize tries the text as a patch first, and as a path if it is none.
		if looksInline(ref.value) {
			return ref.field, s.inline(ref.value)
		}
	case aSource:
		key, file, ok := strings.Cut(ref.value, "=")
		if ok && isRemote(key) == "" {
			ref.value = file
		}
	}
	to, kind, err := s.resolve(folder, ref.value)
	if err != nil {
		return ref.field, err
	}
	if kind == gitsync.Folder {
		return s.base(folder, to, ref)
	}
	if ref.role == aComponent {
		return ref.field, fmt.Errorf("%s is a file; a component is a folder", to)
	}
	if !within(to, folder) {
		return ref.field, fmt.Errorf("%s is outside of %s, and kustomize reads files only in and below a kustomization's folder; make it a base, or move it", to, folder)
	}
	if ref.role == aSource || ref.role == aData {
		return "", nil
	}
	content, err := s.fs.ReadFile(to)
	if err != nil {
		return ref.field, err
	}
	documents, err := s.checkYAML(to, content)
	if err != nil {
		return "", err
	}
	if ref.role == aPlugin {
		if err := s.plugins(folder, content); err != nil {
			return "", &Error{File: to, Err: err}
		}
		return "", nil
	}
	s.manifests = append(s.manifests, Manifest{to, ref.role != aResource, documents})
	return "", nil
}

// inline checks YAML that stands as text in a kustomization.
func (s *scan) inline(text string) error {
	if _, err := checkYAML([]byte(text), s.limits); err != nil {
		err.Err = fmt.Errorf("line %d of the text: %w", err.Line, err.Err)
		return errors.New(join(err.Field, err.Err.Error()))
	}
	return nil
}

// base scans another kustomization's folder.
func (s *scan) base(folder, to string, ref reference) (string, error) {
	switch ref.role {
	case aResource, aComponent:
	case aPlugin:
		return ref.field, fmt.Errorf("%s is a folder, and what it would build cannot be checked beforehand; name the files", to)
	default:
		return ref.field, fmt.Errorf("%s is a folder, not a file", to)
	}
	for i, above := range s.above {
		if within(above, to) {
			if above == to && i < len(s.above)-1 {
				return ref.field, fmt.Errorf("%s comes back to itself by way of %s", to, strings.Join(s.above[i+1:], ", "))
			}
			return ref.field, fmt.Errorf("%s is or holds the kustomization %s that leads to it; a base stands beside or below", to, above)
		}
	}
	return "", s.folder(to)
}

// resolve turns what a kustomization in a folder names into a path of the tree
// and says what is there.
func (s *scan) resolve(folder, value string) (string, gitsync.Kind, error) {
	if what := isRemote(value); what != "" {
		return "", 0, fmt.Errorf("%s is %s, and rendering has no network; copy it into the repository and name it there", shown(value), what)
	}
	if value == "" {
		return "", 0, errors.New("is empty; name a file or folder")
	}
	if path.IsAbs(value) {
		return "", 0, fmt.Errorf("%s is absolute; name it relative to this file", shown(value))
	}
	to := path.Join(folder, value)
	if to == ".." || strings.HasPrefix(to, "../") {
		return "", 0, fmt.Errorf("%s leaves the repository", shown(value))
	}
	e, err := s.fs.stat(to)
	if err != nil {
		return "", 0, err
	}
	if e.Kind == 0 {
		return "", 0, fmt.Errorf("%s: no such file or folder", shown(to))
	}
	return to, e.Kind, nil
}

func within(p, folder string) bool {
	return folder == "." || p == folder || strings.HasPrefix(p, folder+"/")
}

var (
	scheme  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	user    = regexp.MustCompile(`^[^/]*@`)
	control = regexp.MustCompile(`[\x00-\x1f\x7f]`)
	github  = regexp.MustCompile(`(?i)^github\.com/`)
)

// isRemote says what a value is if kustomize might look for it elsewhere, or
// "". It refuses more than kustomize understands, so that no spelling gets by:
// a file of such a name is written with "./" before it.
func isRemote(value string) string {
	switch {
	case control.MatchString(value):
		return "no path (it has control characters)"
	case strings.Contains(value, "://"), scheme.MatchString(value):
		return "a URL"
	case user.MatchString(value), github.MatchString(value), strings.Contains(value, "?ref="), strings.Contains(value, "?version="):
		return "a git repository"
	}
	return ""
}

// shown is a value as an error may quote it: short, and without the user,
// password and query of a URL.
func shown(value string) string {
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		value = u.Scheme + "://" + u.Host + u.Path
	} else if _, after, ok := strings.Cut(value, "@"); ok {
		value = after
	}
	value, _, _ = strings.Cut(value, "?")
	value, _, _ = strings.Cut(value, "\n")
	if len(value) > 120 {
		value = value[:120] + "…"
	}
	return fmt.Sprintf("%q", value)
}

// looksInline says that a value can only be YAML itself: no path has a line
// break or begins like a flow mapping.
func looksInline(value string) bool {
	return strings.Contains(value, "\n") || strings.HasPrefix(strings.TrimSpace(value), "{")
}

// checkYAML checks a file once for every content it ever had, and says what it
// declares.
func (s *scan) checkYAML(file string, content []byte) ([]Document, error) {
	hash := s.fs.entries[file].Hash
	if documents, ok := s.known.get(hash); ok {
		return documents, nil
	}
	docs, err := checkYAML(content, s.limits)
	if err != nil {
		err.File = file
		return nil, err
	}
	documents := documentsOf(docs)
	s.known.put(hash, documents)
	return documents, nil
}

var (
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	wrongType    = regexp.MustCompile(`cannot unmarshal (\w+)\b.* into Go (?:struct field \w+\.([\w.]+)|value) of type (\S+)`)
)

// undecodable puts kustomize's refusal of a kustomization into the words of
// somebody who writes one, with the line.
func undecodable(file string, content []byte, err error) error {
	e := &Error{File: file, Err: errors.New("is no valid kustomization: " + plain(err.Error(), nil))}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		e.Line, e.Field = lineOfKey(content, m[1]), m[1]
		e.Err = errors.New("unknown field" + suggestion(m[1]))
	} else if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		e.Line, e.Field = lineOf(content, m[2]), m[2]
		if i := strings.LastIndexByte(m[2], '.'); i >= 0 {
			e.Line = lineOfKey(content, m[2][i+1:])
		}
		e.Err = fmt.Errorf("a %s stands where %s belongs", m[1], wanted(m[3]))
	}
	return e
}

// wanted puts a Go type into words.
func wanted(goType string) string {
	switch {
	case goType == "string":
		return "a text, which may need quotes,"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"):
		return "a whole number"
	}
	return "a mapping"
}

// suggestion is the field of a kustomization that was probably meant.
func suggestion(field string) string {
	best, distance := "", 1+len(field)/4
	for _, name := range fieldNames(reflect.TypeFor[types.Kustomization]()) {
		if d := levenshtein.ComputeDistance(field, name); d <= distance {
			best, distance = name, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// fieldNames are the names of a type's fields and of all below them.
func fieldNames(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return fieldNames(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
		names = append(names, fieldNames(f.Type)...)
	}
	return names
}
