package github

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's own name for a blob, not a proof
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/go-github/v60/github"

	"github.com/pawl-dev/pawl/gitsync"
)

// treeTrailer is the line of a commit message that names the commit's tree. It
// tells the agent's own commits, after a restart too, from those in which
// somebody changed something and kept the message.
const treeTrailer = "Pawl-Tree: "

// content is files by path, named as git names blobs.
type content map[string]string

func contentOf(files map[string][]byte) content {
	out := content{}
	for path, data := range files {
		h := sha1.New() //nolint:gosec
		fmt.Fprintf(h, "blob %d\x00", len(data))
		h.Write(data)
		out[path] = hex.EncodeToString(h.Sum(nil))
	}
	return out
}

// makeCommit makes a commit whose tree is that of base with files written into
// it. Author and committer are left out: only then does GitHub sign an App's
// commit. trailer adds the line that tells it apart.
func (f *Forge) makeCommit(ctx context.Context, doing string, base gitsync.Commit, parents []gitsync.Commit, message string, files map[string][]byte, trailer bool) (gitsync.Commit, error) {
	const permission = "contents: write"
	baseTree, err := f.treeOf(ctx, doing, base)
	if err != nil {
		return "", err
	}
	var entries []*github.TreeEntry
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(path) || path == "." || strings.HasPrefix(path, ".git/") {
			return "", fmt.Errorf("%s: %q is no path of a file in a repository", doing, path)
		}
		entry := &github.TreeEntry{Path: github.String(path), Mode: github.String("100644"), Type: github.String("blob")}
		if data := files[path]; utf8.Valid(data) {
			entry.Content = github.String(string(data))
		} else {
			blob, _, err := f.client.Git.CreateBlob(ctx, f.owner, f.repo, &github.Blob{
				Content: github.String(base64.StdEncoding.EncodeToString(data)), Encoding: github.String("base64"),
			})
			if err != nil {
				return "", failure(doing, permission, err)
			}
			entry.SHA = blob.SHA
		}
		entries = append(entries, entry)
	}
	tree, _, err := f.client.Git.CreateTree(ctx, f.owner, f.repo, baseTree, entries)
	if err != nil {
		return "", failure(doing, permission, err)
	}
	if trailer {
		message = strings.TrimRight(message, "\n") + "\n\n" + treeTrailer + tree.GetSHA() + "\n"
	}
	commit := &github.Commit{Message: &message, Tree: tree}
	for _, p := range parents {
		commit.Parents = append(commit.Parents, &github.Commit{SHA: github.String(string(p))})
	}
	made, _, err := f.client.Git.CreateCommit(ctx, f.owner, f.repo, commit, nil)
	if err != nil {
		return "", failure(doing, permission, err)
	}
	return commitOf(made.GetSHA()), nil
}

func (f *Forge) treeOf(ctx context.Context, doing string, commit gitsync.Commit) (string, error) {
	if tree, ok := f.known.tree(commit); ok {
		return tree, nil
	}
	c, _, err := f.client.Git.GetCommit(ctx, f.owner, f.repo, string(commit))
	if err != nil {
		return "", failure(doing, "contents: write", err)
	}
	f.known.setTree(commit, c.GetTree().GetSHA())
	return c.GetTree().GetSHA(), nil
}

// ours reports whether the agent made a commit. Who pushes with git can write
// any name into a commit, which is why the message names the tree: what is
// asked is whether work of somebody else would be lost.
func (f *Forge) ours(ctx context.Context, doing string, me account, head gitsync.Commit) (bool, error) {
	if f.known.isMade(head) {
		return true, nil
	}
	c, _, err := f.client.Repositories.GetCommit(ctx, f.owner, f.repo, string(head), nil)
	if err != nil {
		return false, failure(doing, "contents: read", err)
	}
	if c.GetAuthor().GetID() != me.id {
		return false, nil
	}
	// What GitHub signs it also commits, in its own name.
	if c.GetCommitter().GetID() != me.id && c.GetCommit().GetCommitter().GetEmail() != "noreply@github.com" {
		return false, nil
	}
	if !strings.HasSuffix(strings.TrimRight(c.GetCommit().GetMessage(), "\n"), "\n"+treeTrailer+c.GetCommit().GetTree().GetSHA()) {
		return false, nil
	}
	f.known.made(head, nil, "")
	return true, nil
}

// changes reports what a pull request changes, named as git names blobs; a
// removed file has no name.
func (f *Forge) changes(ctx context.Context, doing string, number int) (content, error) {
	out := content{}
	options := &github.ListOptions{PerPage: 100}
	for {
		files, resp, err := f.client.PullRequests.ListFiles(ctx, f.owner, f.repo, number, options)
		if err != nil {
			return nil, failure(doing, "pull requests: read", err)
		}
		for _, file := range files {
			out[file.GetFilename()] = file.GetSHA()
			switch file.GetStatus() {
			case "removed":
				out[file.GetFilename()] = ""
			case "renamed":
				out[file.GetPreviousFilename()] = ""
			}
		}
		if resp.NextPage == 0 {
			return out, nil
		}
		options.Page = resp.NextPage
	}
}
