package github

import (
	"context"
	"strings"
)

// changedFile is one file of a diff.
type changedFile struct {
	name, previous, status string
	sha                    string // of the new content, of the old when removed
	additions, deletions   int
	patch                  string
}

var statusNames = map[byte]string{'A': "added", 'D': "removed", 'M': "modified", 'R': "renamed", 'C': "copied", 'T': "changed"}

// diff lists the files in which two commits or trees differ.
func (r *repository) diff(ctx context.Context, from, to string) ([]changedFile, error) {
	out, err := r.git.Run(ctx, "diff", "-M", "--raw", "--abbrev=40", "-z", from, to)
	if err != nil {
		return nil, err
	}
	var files []changedFile
	fields := strings.Split(out, "\x00")
	for i := 0; i+1 < len(fields); i++ {
		meta := strings.Fields(strings.TrimPrefix(fields[i], ":"))
		if len(meta) != 5 {
			break
		}
		f := changedFile{status: statusNames[meta[4][0]], sha: meta[3]}
		if f.status == "removed" {
			f.sha = meta[2]
		}
		i++
		f.name = fields[i]
		if f.status == "renamed" || f.status == "copied" {
			f.previous = f.name
			i++
			f.name = fields[i]
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, nil
	}
	patches, err := r.git.Run(ctx, "diff", "-M", "-p", from, to)
	if err != nil {
		return nil, err
	}
	// Git lists the files of both outputs in the same order.
	for i, part := range splitPatches(patches) {
		if i < len(files) {
			files[i].patch = part
			files[i].additions, files[i].deletions = countLines(part)
		}
	}
	return files, nil
}

// splitPatches gives each file's hunks, without the header; empty for a binary
// or a pure rename.
func splitPatches(diff string) []string {
	var parts []string
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "diff --git ") {
			parts = append(parts, "")
			continue
		}
		if n := len(parts) - 1; n >= 0 && (parts[n] != "" || strings.HasPrefix(line, "@@")) {
			parts[n] += line
		}
	}
	for i := range parts {
		parts[i] = strings.TrimSuffix(parts[i], "\n")
	}
	return parts
}

func countLines(patch string) (additions, deletions int) {
	for line := range strings.Lines(patch) {
		switch line[0] {
		case '+':
			additions++
		case '-':
			deletions++
		}
	}
	return additions, deletions
}

func sum(files []changedFile) (additions, deletions int) {
	for _, f := range files {
		additions += f.additions
		deletions += f.deletions
	}
	return additions, deletions
}

func (s *Server) filesJSON(r *repository, head string, files []changedFile) []object {
	out := []object{}
	for _, f := range files {
		path := escapeSegments(f.name)
		o := object{
			"sha": f.sha, "filename": f.name, "status": f.status, "additions": f.additions, "deletions": f.deletions,
			"changes": f.additions + f.deletions, "blob_url": s.htmlURL(r, "blob", head, path), "raw_url": s.htmlURL(r, "raw", head, path),
			"contents_url": s.repoURL(r, "contents", path) + "?ref=" + head,
		}
		if f.patch != "" {
			o["patch"] = f.patch
		}
		if f.previous != "" {
			o["previous_filename"] = f.previous
		}
		out = append(out, o)
	}
	return out
}

// mergeTree merges two commits as git would; ok is false on a conflict.
func (r *repository) mergeTree(ctx context.Context, ours, theirs string) (tree string, ok bool, err error) {
	out, err := r.git.Run(ctx, "merge-tree", "--write-tree", "--allow-unrelated-histories", ours, theirs)
	if err != nil {
		if conflict(err) {
			return "", false, nil
		}
		return "", false, err
	}
	tree, _, _ = strings.Cut(out, "\n")
	return tree, true, nil
}
