package github

import (
	"encoding/base64"
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

var contentRoutes = []route{
	{"GET /repos/{owner}/{repo}/contents/{path...}", "contents:read", getContents},
	{"GET /repos/{owner}/{repo}/contents", "contents:read", getContents},
	{"PUT /repos/{owner}/{repo}/contents/{path...}", "contents:write", putContents},
	{"DELETE /repos/{owner}/{repo}/contents/{path...}", "contents:write", deleteContents},
}

func (c *call) entryJSON(ref string, e treeEntry) object {
	kind := map[string]string{"tree": "dir", "blob": "file", "commit": "submodule"}[e.kind]
	if e.mode == "120000" {
		kind = "symlink"
	}
	self := c.repoURL(c.repo, "contents", escapeSegments(e.path)) + "?ref=" + ref
	gitURL := c.repoURL(c.repo, "git", e.kind+"s", e.sha)
	html := c.htmlURL(c.repo, e.kind, ref, escapeSegments(e.path))
	o := object{
		"name": path.Base(e.path), "path": e.path, "sha": e.sha, "size": e.size, "type": kind, "url": self, "git_url": gitURL,
		"html_url": html, "download_url": nil, "_links": object{"self": self, "git": gitURL, "html": html},
	}
	if kind == "file" {
		o["download_url"] = c.htmlURL(c.repo, "raw", ref, escapeSegments(e.path))
	}
	return o
}

func getContents(c *call) (int, any, error) {
	if err := c.notEmpty(); err != nil {
		return 0, nil, notFound()
	}
	ctx := c.request.Context()
	ref := c.query("ref")
	if ref == "" {
		ref = c.repo.defaultBranch
	}
	sha, err := c.repo.find(ctx, ref)
	if err != nil {
		return 0, nil, refuse(http.StatusNotFound, "No commit found for the ref %s", ref)
	}
	name := strings.Trim(c.path("path"), "/")
	if name != "" {
		entries, err := c.repo.list(ctx, sha+":"+strings.TrimSuffix(path.Dir(name), "."), false)
		if err != nil {
			return 0, nil, notFound()
		}
		for _, e := range entries {
			if e.path != path.Base(name) {
				continue
			}
			e.path = name
			if e.kind == "blob" {
				return c.file(ref, e)
			}
		}
	}
	entries, err := c.repo.list(ctx, sha+":"+name, false)
	if err != nil {
		return 0, nil, notFound()
	}
	out := []object{}
	for _, e := range entries {
		e.path = path.Join(name, e.path)
		out = append(out, c.entryJSON(ref, e))
	}
	return http.StatusOK, out, nil
}

func (c *call) file(ref string, e treeEntry) (int, any, error) {
	content, err := c.repo.git.Run(c.request.Context(), "cat-file", "blob", e.sha)
	if err != nil {
		return 0, nil, err
	}
	if c.accepts("raw") {
		return http.StatusOK, text{"application/vnd.github.raw; charset=utf-8", content}, nil
	}
	o := c.entryJSON(ref, e)
	if o["type"] == "symlink" {
		o["target"] = content
		return http.StatusOK, o, nil
	}
	o["content"], o["encoding"] = wrapped(content), "base64"
	return http.StatusOK, o, nil
}

type contentChange struct {
	Message, Content, Branch string
	SHA                      *string
	Author, Committer        *signature
}

func putContents(c *call) (int, any, error) {
	var in contentChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	content, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(in.Content, "\n", ""))
	if err != nil {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "content is not valid Base64")
	}
	return c.changeContents(in, func(x *index, name string) error {
		sha, err := c.repo.writeBlob(c.request.Context(), string(content))
		if err == nil {
			err = x.add("100644", sha, name)
		}
		return err
	})
}

func deleteContents(c *call) (int, any, error) {
	var in contentChange
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	return c.changeContents(in, func(x *index, name string) error {
		_, err := x.remove(name)
		return err
	})
}

// changeContents commits one file to a branch, on the condition that the file
// is still the one the caller saw.
func (c *call) changeContents(in contentChange, apply func(x *index, name string) error) (int, any, error) {
	ctx, name := c.request.Context(), strings.Trim(c.path("path"), "/")
	branch := "refs/heads/" + in.Branch
	if in.Branch == "" {
		branch = "refs/heads/" + c.repo.defaultBranch
	}
	before, err := c.repo.git.Resolve(ctx, branch)
	base, parents := before, []string{before}
	if errors.Is(err, git.ErrUnknown) {
		if c.notEmpty() == nil {
			return 0, nil, refuse(http.StatusNotFound, "Branch %s not found", strings.TrimPrefix(branch, "refs/heads/"))
		}
		before, base, parents = git.Zero, "", nil
	} else if err != nil {
		return 0, nil, err
	}
	is := ""
	if base != "" {
		is, _ = c.repo.git.Resolve(ctx, base+":"+name)
	}
	switch {
	case is == "" && c.request.Method == http.MethodDelete:
		return 0, nil, notFound()
	case is != "" && in.SHA == nil:
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Invalid request.\n\n\"sha\" wasn't supplied.")
	case in.SHA != nil && *in.SHA != is:
		return 0, nil, refuse(http.StatusConflict, "%s does not match %s", name, *in.SHA)
	}
	x, err := c.repo.index(ctx, base)
	if err != nil {
		return 0, nil, err
	}
	defer x.close()
	if err := apply(x, name); err != nil {
		return 0, nil, err
	}
	tree, err := x.tree()
	if err != nil {
		return 0, nil, err
	}
	now := c.now()
	made := newCommit{tree: tree, message: in.Message, parents: parents, author: c.who.account.person(now), committer: webFlow(now)}
	if in.Author != nil {
		made.author = in.Author.person(now)
	}
	if in.Committer != nil {
		made.committer = in.Committer.person(now)
	}
	sha, err := c.repo.writeCommit(ctx, made)
	if err != nil {
		return 0, nil, err
	}
	if c.who.kind == "installation" && in.Author == nil && in.Committer == nil {
		c.repo.verifications[sha] = valid
	}
	if err := c.moveRef(branch, before, sha); err != nil {
		var r *refusal
		if errors.As(err, &r) {
			err = refuse(http.StatusConflict, "%s", r.message)
		}
		return 0, nil, err
	}
	return c.contentsChanged(name, sha, is == "")
}

func (c *call) contentsChanged(name, sha string, created bool) (int, any, error) {
	ctx := c.request.Context()
	found, err := c.repo.commit(ctx, sha)
	if err != nil {
		return 0, nil, err
	}
	var content any
	if c.request.Method == http.MethodPut {
		entries, err := c.repo.list(ctx, sha+":"+strings.TrimSuffix(path.Dir(name), "."), false)
		if err != nil {
			return 0, nil, err
		}
		for _, e := range entries {
			if e.path == path.Base(name) {
				e.path = name
				content = c.entryJSON(sha, e)
			}
		}
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return status, object{"content": content, "commit": c.gitCommitJSON(c.repo, found)}, nil
}
