package environments

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// KustomizationFiles are the names by which kustomize knows its file.
var KustomizationFiles = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// Unusable is a target that the overlay pattern points at and that cannot be
// deployed. Where Target has no Overlay it is the environment as a whole: it
// has failed, which is not the same as being empty.
type Unusable struct {
	Target Target
	Reason string
}

func (u *Unusable) Error() string { return u.Target.String() + ": " + u.Reason }

// Targets finds the overlays of all environments in a tree. What cannot be
// used is returned beside what can, so that a broken target does not hold up
// the others; a caller that prunes must treat it as unknown, never as gone.
//
// Symbolic links are never followed: the tree must report them as such, as
// gitsync.Tree.FS and os.DirFS do.
func (p Pipeline) Targets(tree fs.FS) (found []Target, unusable []*Unusable) {
	segments, err := overlaySegments(p.Spec.Overlays)
	if err != nil {
		return nil, []*Unusable{{Reason: fmt.Sprintf("spec.overlays %s %v", quote(p.Spec.Overlays), err)}}
	}
	s := &search{tree: tree, folders: map[string]listing{}}
	for _, e := range p.Order() {
		good, bad := s.environment(segments, e.Name)
		found = append(found, good...)
		unusable = append(unusable, bad...)
		if len(good)+len(bad) == 0 {
			unusable = append(unusable, &Unusable{Target: Target{Environment: e.Name}, Reason: nothing(segments, e.Name)})
		}
	}
	return found, unusable
}

// nothing words an environment without a single overlay.
func nothing(segments []string, environment string) string {
	folder := strings.ReplaceAll(path.Join(segments...), envPlaceholder, environment)
	if strings.Contains(folder, appPlaceholder) {
		return fmt.Sprintf("no folder matches %s; add an overlay there, or correct spec.overlays in pawl.yaml", strings.ReplaceAll(folder, appPlaceholder, "*"))
	}
	return fmt.Sprintf("there is no folder %s; add the overlay, or correct spec.overlays in pawl.yaml", folder)
}

// search reads each folder of the tree once, whatever the number of environments.
type search struct {
	tree    fs.FS
	folders map[string]listing
}

type listing struct {
	entries []fs.DirEntry
	err     error
}

func (s *search) list(folder string) ([]fs.DirEntry, error) {
	l, ok := s.folders[folder]
	if !ok {
		l.entries, l.err = fs.ReadDir(s.tree, folder)
		s.folders[folder] = l
	}
	return l.entries, l.err
}

// environment follows the pattern from the root, folder by folder.
func (s *search) environment(segments []string, name string) (found []Target, unusable []*Unusable) {
	at := []Target{{Environment: name, Overlay: "."}}
	for _, segment := range segments {
		var next []Target
		for _, t := range at {
			entries, err := s.list(t.Overlay)
			if err != nil {
				unusable = append(unusable, &Unusable{t, fmt.Sprintf("folder %s cannot be read: %v", t.Overlay, cause(err))})
				continue
			}
			for _, e := range entries {
				step := t
				step.Overlay = path.Join(t.Overlay, e.Name())
				switch segment {
				case appPlaceholder:
					step.Application = e.Name()
				case envPlaceholder:
					if e.Name() != name {
						continue
					}
				default:
					if e.Name() != segment {
						continue
					}
				}
				switch {
				case e.IsDir():
					next = append(next, step)
				case e.Type()&fs.ModeSymlink != 0:
					unusable = append(unusable, &Unusable{step, quote(step.Overlay) + " is a symbolic link; links are not followed, so put the folder itself there"})
				case e.Type()&fs.ModeIrregular != 0:
					unusable = append(unusable, &Unusable{step, quote(step.Overlay) + " is a submodule; submodules are not fetched, so put the folder itself there"})
				case segment != appPlaceholder:
					unusable = append(unusable, &Unusable{step, quote(step.Overlay) + " is a file, not a folder"})
				}
			}
		}
		at = next
	}
	for _, t := range at {
		if reason := s.judge(t); reason != "" {
			unusable = append(unusable, &Unusable{t, reason})
		} else {
			found = append(found, t)
		}
	}
	return found, unusable
}

// judge says why an overlay folder is no target.
func (s *search) judge(t Target) string {
	entries, err := s.list(t.Overlay)
	if err != nil {
		return fmt.Sprintf("folder %s cannot be read: %v", quote(t.Overlay), cause(err))
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return slices.Contains(KustomizationFiles, e.Name()) })
	switch {
	case i < 0:
		return fmt.Sprintf("folder %s has no kustomization.yaml", quote(t.Overlay))
	case !entries[i].Type().IsRegular():
		return fmt.Sprintf("%s is no regular file", quote(path.Join(t.Overlay, entries[i].Name())))
	case t.Application != "" && (!label.MatchString(t.Application) || len(t.Application) > 63):
		return fmt.Sprintf(`the folder's name %s is no application name; use lower-case letters, digits and "-"`, quote(t.Application))
	}
	return ""
}

// cause leaves out the path, which the message has already.
func cause(err error) error {
	if e := new(fs.PathError); errors.As(err, &e) {
		return e.Err
	}
	return err
}
