package github

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

var objectRoutes = []route{
	{"GET /repos/{owner}/{repo}/git/commits/{commit_sha}", "contents:read", getGitCommit},
	{"POST /repos/{owner}/{repo}/git/commits", "contents:write", createCommit},
	{"GET /repos/{owner}/{repo}/git/trees/{tree_sha...}", "contents:read", getTree},
	{"POST /repos/{owner}/{repo}/git/trees", "contents:write", createTree},
	{"GET /repos/{owner}/{repo}/git/blobs/{file_sha}", "contents:read", getBlob},
	{"POST /repos/{owner}/{repo}/git/blobs", "contents:write", createBlob},
}

func personJSON(p person) object {
	return object{"name": p.name, "email": p.email, "date": stamp(p.when)}
}

func (s *Server) gitCommitJSON(r *repository, c *commit) object {
	parents := []object{}
	for _, p := range c.parents {
		parents = append(parents, object{"sha": p, "url": s.repoURL(r, "git/commits", p), "html_url": s.htmlURL(r, "commit", p)})
	}
	return object{
		"sha": c.sha, "node_id": "C_" + c.sha, "url": s.repoURL(r, "git/commits", c.sha), "html_url": s.htmlURL(r, "commit", c.sha),
		"author": personJSON(c.author), "committer": personJSON(c.committer), "message": c.message,
		"tree":    object{"sha": c.tree, "url": s.repoURL(r, "git/trees", c.tree)},
		"parents": parents, "verification": r.verificationJSON(c),
	}
}

func getGitCommit(c *call) (int, any, error) {
	sha := c.path("commit_sha")
	if !isID(sha) || len(sha) != 40 {
		return 0, nil, notFound()
	}
	found, err := c.repo.signedCommit(c.request.Context(), sha)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.gitCommitJSON(c.repo, found), nil
}

type signature struct {
	Name, Email string
	Date        time.Time
}

// newCommit is a commit to be written.
type newCommit struct {
	tree, message     string
	parents           []string
	author, committer person
}

// writeCommit writes a commit object; no ref moves.
func (r *repository) writeCommit(ctx context.Context, c newCommit) (string, error) {
	args := []string{"commit-tree", c.tree}
	for _, p := range c.parents {
		args = append(args, "-p", p)
	}
	env := []string{
		"GIT_AUTHOR_NAME=" + c.author.name, "GIT_AUTHOR_EMAIL=" + c.author.email, fmt.Sprintf("GIT_AUTHOR_DATE=@%d +0000", c.author.when.Unix()),
		"GIT_COMMITTER_NAME=" + c.committer.name, "GIT_COMMITTER_EMAIL=" + c.committer.email, fmt.Sprintf("GIT_COMMITTER_DATE=@%d +0000", c.committer.when.Unix()),
	}
	out, err := r.git.Do(ctx, git.Command{Args: args, Env: env, Stdin: strings.NewReader(c.message)})
	return strings.TrimSpace(out), err
}

// webFlow is who commits what is made on GitHub itself.
func webFlow(now time.Time) person { return person{"GitHub", "noreply@github.com", now} }

func (a *account) person(now time.Time) person { return person{a.login, a.email(), now} }

func createCommit(c *call) (int, any, error) {
	var in struct {
		Message, Tree     string
		Parents           []string
		Author, Committer *signature
		Signature         string
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	if kind, err := c.objectType(in.Tree); err != nil || kind != "tree" {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Tree SHA does not exist")
	}
	for _, p := range in.Parents {
		if kind, err := c.objectType(p); err != nil || kind != "commit" || len(p) != 40 {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "Parent SHA does not exist or is not a commit object")
		}
	}
	now := c.now()
	made := newCommit{tree: in.Tree, message: in.Message, parents: in.Parents, author: c.who.account.person(now)}
	if in.Author != nil {
		made.author = in.Author.person(now)
	}
	made.committer = made.author
	// GitHub signs for a bot that leaves author, committer and signature out.
	// docs.github.com/authentication/managing-commit-signature-verification
	signed := c.who.kind == "installation" && in.Author == nil && in.Committer == nil && in.Signature == ""
	switch {
	case in.Committer != nil:
		made.committer = in.Committer.person(now)
	case signed:
		made.committer = webFlow(now)
	}
	sha, err := c.repo.writeCommit(c.request.Context(), made)
	if err != nil {
		return 0, nil, err
	}
	if signed {
		c.repo.verifications[sha] = valid
	}
	found, err := c.repo.commit(c.request.Context(), sha)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, c.gitCommitJSON(c.repo, found), nil
}

func (s *signature) person(now time.Time) person {
	p := person{s.Name, s.Email, s.Date}
	if p.when.IsZero() {
		p.when = now
	}
	return p
}

type treeEntry struct {
	mode, kind, sha, path string
	size                  int64
}

// list reads a tree.
func (r *repository) list(ctx context.Context, tree string, recursive bool) ([]treeEntry, error) {
	args := []string{"ls-tree", "-z", "-l"}
	if recursive {
		args = append(args, "-r", "-t")
	}
	out, err := r.git.Run(ctx, append(args, tree)...)
	if err != nil {
		return nil, err
	}
	var entries []treeEntry
	for line := range strings.SplitSeq(out, "\x00") {
		meta, path, ok := strings.Cut(line, "\t")
		f := strings.Fields(meta)
		if !ok || len(f) != 4 {
			continue
		}
		size, _ := strconv.ParseInt(f[3], 10, 64)
		entries = append(entries, treeEntry{mode: f[0], kind: f[1], sha: f[2], path: path, size: size})
	}
	return entries, nil
}

func (c *call) treeJSON(sha string, recursive bool) (object, error) {
	entries, err := c.repo.list(c.request.Context(), sha, recursive)
	if err != nil {
		return nil, err
	}
	tree := []object{}
	for _, e := range entries {
		o := object{"path": e.path, "mode": e.mode, "type": e.kind, "sha": e.sha, "url": c.repoURL(c.repo, "git", e.kind+"s", e.sha)}
		if e.kind == "blob" {
			o["size"] = e.size
		}
		tree = append(tree, o)
	}
	return object{"sha": sha, "url": c.repoURL(c.repo, "git/trees", sha), "tree": tree, "truncated": false}, nil
}

func getTree(c *call) (int, any, error) {
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	name := c.path("tree_sha")
	sha, err := c.repo.git.Resolve(c.request.Context(), name+"^{tree}")
	if err != nil {
		return 0, nil, err
	}
	o, err := c.treeJSON(sha, c.request.URL.Query().Has("recursive"))
	return http.StatusOK, o, err
}

// index is a tree being made: git's index, with no work tree beside it.
type index struct {
	repo *repository
	ctx  context.Context
	dir  string
}

func (r *repository) index(ctx context.Context, base string) (*index, error) {
	dir, err := os.MkdirTemp("", "pawl-index-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for an index: %w", err)
	}
	x := &index{repo: r, ctx: ctx, dir: dir}
	if base != "" {
		if _, err := x.run("", "read-tree", base); err != nil {
			x.close()
			return nil, err
		}
	}
	return x, nil
}

func (x *index) close() { _ = os.RemoveAll(x.dir) }

func (x *index) run(stdin string, args ...string) (string, error) {
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(x.dir, "index")}
	return x.repo.git.Do(x.ctx, git.Command{Args: args, Env: env, Stdin: strings.NewReader(stdin)})
}

func (x *index) add(mode, sha, path string) error {
	if mode == "040000" {
		if _, err := x.remove(path); err != nil {
			return err
		}
		_, err := x.run("", "read-tree", "--prefix="+path+"/", sha)
		return err
	}
	_, err := x.run(mode+" "+sha+"\t"+path+"\x00", "update-index", "-z", "--add", "--replace", "--index-info")
	return err
}

// remove takes out a file or a folder, and reports whether it was there.
func (x *index) remove(path string) (bool, error) {
	out, err := x.run("", "ls-files", "-z", "--", ":(literal)"+path)
	if err != nil || out == "" {
		return false, err
	}
	var lines strings.Builder
	for one := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		fmt.Fprintf(&lines, "0 %s\t%s\x00", git.Zero, one)
	}
	_, err = x.run(lines.String(), "update-index", "-z", "--index-info")
	return true, err
}

func (x *index) tree() (string, error) {
	out, err := x.run("", "write-tree")
	return strings.TrimSpace(out), err
}

func createTree(c *call) (int, any, error) {
	var in struct {
		BaseTree string `json:"base_tree"`
		Tree     []struct {
			Path, Mode, Type string
			SHA, Content     *string
		}
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	if in.BaseTree != "" {
		if _, err := c.repo.git.Resolve(ctx, in.BaseTree+"^{tree}"); err != nil {
			return 0, nil, notFound()
		}
	}
	x, err := c.repo.index(ctx, in.BaseTree)
	if err != nil {
		return 0, nil, err
	}
	defer x.close()
	for _, e := range in.Tree {
		sha := ""
		switch {
		case e.SHA != nil:
			sha = *e.SHA
			if kind, err := c.objectType(sha); err != nil || (e.Type != "" && kind != e.Type) {
				return 0, nil, refuse(http.StatusUnprocessableEntity, "tree.sha %s is not a valid %s", sha, e.Type)
			}
		case e.Content != nil:
			if sha, err = c.repo.writeBlob(ctx, *e.Content); err != nil {
				return 0, nil, err
			}
		default: // null deletes
			if was, err := x.remove(e.Path); err != nil || !was {
				return 0, nil, errors.Join(refuse(http.StatusUnprocessableEntity, "GitRPC::BadObjectState"), err)
			}
			continue
		}
		if err := x.add(e.Mode, sha, e.Path); err != nil {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "tree.path contains a malformed path component: %s", e.Path)
		}
	}
	tree, err := x.tree()
	if err != nil {
		return 0, nil, err
	}
	o, err := c.treeJSON(tree, false)
	return http.StatusCreated, o, err
}

func (r *repository) writeBlob(ctx context.Context, content string) (string, error) {
	out, err := r.git.Do(ctx, git.Command{Args: []string{"hash-object", "-w", "--stdin"}, Stdin: strings.NewReader(content)})
	return strings.TrimSpace(out), err
}

func getBlob(c *call) (int, any, error) {
	sha := c.path("file_sha")
	if kind, err := c.objectType(sha); err != nil || kind != "blob" {
		return 0, nil, errors.Join(err, notFound())
	}
	content, err := c.repo.git.Run(c.request.Context(), "cat-file", "blob", sha)
	if err != nil {
		return 0, nil, err
	}
	if c.accepts("raw") {
		return http.StatusOK, text{"application/vnd.github.raw+json; charset=utf-8", content}, nil
	}
	return http.StatusOK, object{
		"sha": sha, "node_id": "B_" + sha, "size": len(content), "url": c.repoURL(c.repo, "git/blobs", sha),
		"content": wrapped(content), "encoding": "base64",
	}, nil
}

// wrapped is base64 in lines of 60, as GitHub sends it.
func wrapped(content string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(content))
	var b strings.Builder
	for len(encoded) > 60 {
		b.WriteString(encoded[:60] + "\n")
		encoded = encoded[60:]
	}
	return b.String() + encoded + "\n"
}

func createBlob(c *call) (int, any, error) {
	var in struct{ Content, Encoding string }
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	content := in.Content
	if in.Encoding == "base64" {
		decoded, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(content, "\n", ""))
		if err != nil {
			return 0, nil, refuse(http.StatusUnprocessableEntity, "content is not valid Base64")
		}
		content = string(decoded)
	}
	sha, err := c.repo.writeBlob(c.request.Context(), content)
	return http.StatusCreated, object{"sha": sha, "url": c.repoURL(c.repo, "git/blobs", sha)}, err
}
