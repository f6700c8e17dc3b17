package github

import (
	"errors"
	"net/http"
	"strings"

	"github.com/pawl-dev/pawl/internal/testworld/git"
)

var refRoutes = []route{
	{"GET /repos/{owner}/{repo}/git/ref/{ref...}", "contents:read", getRef},
	{"GET /repos/{owner}/{repo}/git/matching-refs/{ref...}", "contents:read", matchRefs},
	{"POST /repos/{owner}/{repo}/git/refs", "contents:write", createRef},
	{"PATCH /repos/{owner}/{repo}/git/refs/{ref...}", "contents:write", updateRef},
	{"DELETE /repos/{owner}/{repo}/git/refs/{ref...}", "contents:write", deleteRef},
}

func (c *call) refJSON(ref, sha, kind string) object {
	return object{
		"ref": ref, "node_id": "REF_" + ref, "url": c.repoURL(c.repo, "git", escapeSegments(ref)),
		"object": object{"sha": sha, "type": kind, "url": c.repoURL(c.repo, "git", kind+"s", sha)},
	}
}

// listRefs are the refs that people see below a prefix, by name.
func (c *call) listRefs(prefix string) ([]object, error) {
	out, err := c.repo.git.Run(c.request.Context(), "for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", "refs/heads", "refs/tags", "refs/pull")
	if err != nil {
		return nil, err
	}
	refs := []object{}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[2], prefix) {
			refs = append(refs, c.refJSON(f[2], f[0], f[1]))
		}
	}
	return refs, nil
}

// notEmpty refuses what GitHub cannot do in a repository without commits.
func (c *call) notEmpty() error {
	out, err := c.repo.git.Run(c.request.Context(), "for-each-ref", "--count=1", "refs/heads", "refs/tags")
	if err == nil && out == "" {
		err = refuse(http.StatusConflict, "Git Repository is empty.")
	}
	return err
}

func getRef(c *call) (int, any, error) {
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	ref := "refs/" + c.path("ref")
	refs, err := c.listRefs(ref)
	if err != nil {
		return 0, nil, err
	}
	for _, one := range refs {
		if one["ref"] == ref {
			return http.StatusOK, one, nil
		}
	}
	return 0, nil, notFound()
}

func matchRefs(c *call) (int, any, error) {
	refs, err := c.listRefs("refs/" + c.path("ref"))
	return http.StatusOK, page(c, refs), err
}

func createRef(c *call) (int, any, error) {
	var in struct{ Ref, SHA string }
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	if !strings.HasPrefix(in.Ref, "refs/") || strings.Count(in.Ref, "/") < 2 {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Reference name must start with 'refs/'.")
	}
	if err := c.notEmpty(); err != nil {
		return 0, nil, err
	}
	ctx := c.request.Context()
	if _, err := c.repo.git.Run(ctx, "check-ref-format", in.Ref); err != nil {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "%s is not a valid ref name.", in.Ref)
	}
	if err := c.writable(in.Ref); err != nil {
		return 0, nil, err
	}
	if _, err := c.repo.git.Resolve(ctx, in.Ref); err == nil {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Reference already exists")
	}
	kind, err := c.objectType(in.SHA)
	if err != nil || (strings.HasPrefix(in.Ref, "refs/heads/") && kind != "commit") {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Object does not exist")
	}
	if err := c.moveRef(in.Ref, git.Zero, in.SHA); err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, c.refJSON(in.Ref, in.SHA, kind), nil
}

// writable: refs/pull is GitHub's own.
func (c *call) writable(ref string) error {
	if strings.HasPrefix(ref, "refs/heads/") || strings.HasPrefix(ref, "refs/tags/") {
		return nil
	}
	return refuse(http.StatusUnprocessableEntity, "Reference cannot be updated")
}

func updateRef(c *call) (int, any, error) {
	var in struct {
		SHA   string
		Force bool
	}
	if err := c.read(&in); err != nil {
		return 0, nil, err
	}
	ctx, ref := c.request.Context(), "refs/"+c.path("ref")
	before, err := c.repo.git.Resolve(ctx, ref)
	if errors.Is(err, git.ErrUnknown) {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Reference does not exist")
	}
	if err != nil {
		return 0, nil, err
	}
	if err := c.writable(ref); err != nil {
		return 0, nil, err
	}
	kind, err := c.objectType(in.SHA)
	if err != nil || (strings.HasPrefix(ref, "refs/heads/") && kind != "commit") {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Object does not exist")
	}
	forced, err := c.repo.forced(ctx, before, in.SHA)
	if err != nil {
		return 0, nil, err
	}
	if forced && !in.Force {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Update is not a fast forward")
	}
	if err := c.moveRef(ref, before, in.SHA); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, c.refJSON(ref, in.SHA, kind), nil
}

func deleteRef(c *call) (int, any, error) {
	ref := "refs/" + c.path("ref")
	before, err := c.repo.git.Resolve(c.request.Context(), ref)
	if errors.Is(err, git.ErrUnknown) {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Reference does not exist")
	}
	if err != nil {
		return 0, nil, err
	}
	if err := c.writable(ref); err != nil {
		return 0, nil, err
	}
	if ref == "refs/heads/"+c.repo.defaultBranch {
		return 0, nil, refuse(http.StatusUnprocessableEntity, "Cannot delete the default branch")
	}
	return http.StatusNoContent, nil, c.moveRef(ref, before, git.Zero)
}

// moveRef moves a ref for whoever asks, if the branch's protection lets it.
func (c *call) moveRef(ref, before, after string) error {
	change := git.Change{Ref: ref, Before: before, After: after}
	forced, err := c.repo.forced(c.request.Context(), before, after)
	if err != nil {
		return err
	}
	for _, r := range c.repo.refusals(c.who.login(), change) {
		if !r.OnlyForced || forced {
			return refuse(http.StatusUnprocessableEntity, "%s", r.Message)
		}
	}
	return c.repo.git.MoveRef(c.request.Context(), c.who.login(), ref, before, after)
}

func (c *call) objectType(sha string) (string, error) {
	out, err := c.repo.git.Run(c.request.Context(), "cat-file", "-t", sha)
	var failed *git.CommandError
	if errors.As(err, &failed) {
		err = git.ErrUnknown
	}
	return strings.TrimSpace(out), err
}
