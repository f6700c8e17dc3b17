package github

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
)

//go:embed page.html
var pageHTML string

var pages = template.Must(template.New("").Parse(pageHTML))

// As on GitHub, raw HTML in markdown may fold and emphasise, and nothing else:
// what people write is made harmless after it is rendered.
var (
	markdown  = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	sanitizer = bluemonday.UGCPolicy()
)

func prose(source string) template.HTML {
	var out bytes.Buffer
	if err := markdown.Convert([]byte(source), &out); err != nil {
		return template.HTML("<pre>" + template.HTMLEscapeString(source) + "</pre>") //nolint:gosec // escaped
	}
	return template.HTML(sanitizer.SanitizeBytes(out.Bytes())) //nolint:gosec // sanitised
}

// pageRoutes is a read-only page to follow a demo by; nothing here asks who
// looks, so it belongs on a loopback address.
func (s *Server) pageRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var names []string
		s.mu.Lock()
		for name := range s.repositories {
			names = append(names, name)
		}
		s.mu.Unlock()
		slices.Sort(names)
		show(w, "home", map[string]any{"Title": "GitHub stand-in", "Repo": "", "Repos": names}, nil)
	})
	mux.HandleFunc("GET /{owner}/{repo}", s.view("repository", s.repositoryView))
	mux.HandleFunc("GET /{owner}/{repo}/pull/{number}", s.view("pull", s.pullView))
	mux.HandleFunc("GET /{owner}/{repo}/commit/{sha}", s.view("commit", s.commitView))
	return mux
}

type view map[string]any

// view shows one page of a repository; nil data means that there is none.
func (s *Server) view(name string, look func(r *http.Request, repo *repository) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		full := r.PathValue("owner") + "/" + r.PathValue("repo")
		var data view
		var err error
		if s.with(full, func(repo *repository) { data, err = look(r, repo) }) != nil || (data == nil && err == nil) {
			http.NotFound(w, r)
			return
		}
		if err == nil {
			data["Repo"] = full
		}
		show(w, name, data, err)
	}
}

func show(w http.ResponseWriter, name string, data map[string]any, err error) {
	var out bytes.Buffer
	if err == nil {
		err = pages.ExecuteTemplate(&out, name, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:")
	_, _ = w.Write(out.Bytes())
}

type checkView struct {
	Anchor, Name, Title, State, By, URL, Sign string
	Summary                                   template.HTML
	Notes                                     []noteView
}

type noteView struct{ Level, Where, Title, Message string }

// checkViews are the checks and statuses of a commit, as one list.
func (r *repository) checkViews(sha string) []checkView {
	var out []checkView
	for _, run := range slices.Backward(r.latestRuns(sha)) {
		v := checkView{Anchor: "check-" + strconv.FormatInt(run.id, 10), Name: run.name, State: run.status, By: run.suite.app.slug, URL: run.detailsURL, Sign: "pending"}
		if run.status == "completed" {
			v.State = run.conclusion
			v.Sign = map[string]string{"success": "success", "neutral": "neutral", "skipped": "neutral", "cancelled": "neutral"}[run.conclusion]
			if v.Sign == "" {
				v.Sign = "failure"
			}
		}
		if run.title != nil {
			v.Title = *run.title
		}
		for _, part := range []*string{run.summary, run.text} {
			if part != nil {
				v.Summary += prose(*part)
			}
		}
		for _, a := range run.annotations {
			note := noteView{Level: a.AnnotationLevel, Where: fmt.Sprintf("%s:%d", a.Path, a.StartLine), Message: a.Message}
			if a.Title != nil {
				note.Title = *a.Title
			}
			v.Notes = append(v.Notes, note)
		}
		out = append(out, v)
	}
	for _, one := range slices.Backward(r.latestStatuses(sha)) {
		sign := map[string]string{"success": "success", "pending": "pending"}[one.state]
		if sign == "" {
			sign = "failure"
		}
		out = append(out, checkView{
			Anchor: "status-" + strconv.FormatInt(one.id, 10), Name: one.context, Title: one.text, State: one.state, By: one.creator.login, URL: one.target, Sign: sign,
		})
	}
	return out
}

type pullRow struct {
	Number                              int
	URL, Title, User, Head, Base, State string
	Labels                              []string
	Checks                              []checkView
}

func (r *repository) pullRow(p *pull) pullRow {
	state := p.state
	if !p.merged.IsZero() {
		state = "merged"
	}
	return pullRow{
		p.number, fmt.Sprintf("/%s/pull/%d", r.git.Name, p.number), p.title, p.user.login, p.headRef, p.baseRef, state, p.labels, r.checkViews(p.headSHA),
	}
}

type lineView struct{ Kind, Text string }

type fileView struct {
	Name, Status         string
	Additions, Deletions int
	Lines                []lineView
}

func fileViews(files []changedFile) []fileView {
	var out []fileView
	for _, f := range files {
		v := fileView{Name: f.name, Status: f.status, Additions: f.additions, Deletions: f.deletions}
		for line := range strings.Lines(f.patch) {
			kind := map[byte]string{'+': "add", '-': "del", '@': "hunk"}[line[0]]
			v.Lines = append(v.Lines, lineView{kind, strings.TrimSuffix(line, "\n")})
		}
		out = append(out, v)
	}
	return out
}

type commitRow struct {
	URL, Short, Subject, Author, When string
	Checks                            []checkView
}

func (s *Server) repositoryView(r *http.Request, repo *repository) (view, error) {
	ctx := r.Context()
	v := view{"Title": repo.git.Name, "Clone": repo.git.URL(), "Branch": repo.defaultBranch}
	var open, done []pullRow
	for _, p := range repo.sortedPulls() {
		if p.state == "open" {
			open = append(open, repo.pullRow(p))
		} else if len(done) < 20 {
			done = append(done, repo.pullRow(p))
		}
	}
	v["Open"], v["Done"] = open, done
	var rows []commitRow
	if tip, err := repo.find(ctx, repo.defaultBranch); err == nil {
		list, err := repo.commits(ctx, false, "-n", "20", tip, "--")
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			subject, _, _ := strings.Cut(c.message, "\n")
			rows = append(rows, commitRow{
				"/" + repo.git.Name + "/commit/" + c.sha, c.sha[:7], subject, c.author.name, c.author.when.Format("2 Jan 15:04:05"), repo.checkViews(c.sha),
			})
		}
	}
	v["Commits"] = rows
	return v, nil
}

type reviewView struct{ Sign, User, State, Commit, Body string }

// reviewViews are what people said. An approval of an older head is still one
// for GitHub, if the branch's rule does not dismiss it; here it shows as stale.
func reviewViews(p *pull) []reviewView {
	var out []reviewView
	for _, one := range p.reviews {
		v := reviewView{"neutral", one.user.login, strings.ToLower(strings.ReplaceAll(one.state, "_", " ")), one.commit[:7], one.body}
		switch {
		case one.state == "CHANGES_REQUESTED":
			v.Sign = "failure"
		case one.state == "APPROVED" && one.commit == p.headSHA:
			v.Sign = "success"
		case one.state == "APPROVED":
			v.State += " an older head"
		}
		out = append(out, v)
	}
	return out
}

type commentView struct {
	User, When string
	Body       template.HTML
}

func (s *Server) pullView(r *http.Request, repo *repository) (view, error) {
	n, _ := strconv.Atoi(r.PathValue("number"))
	p := repo.pulls[n]
	if p == nil {
		return nil, nil
	}
	files, err := repo.changes(r.Context(), p)
	if err != nil {
		return nil, err
	}
	v := view{
		"Title": p.title + " · #" + strconv.Itoa(n), "Pull": repo.pullRow(p), "Body": prose(p.body), "Files": fileViews(files),
		"HeadURL": "/" + repo.git.Name + "/commit/" + p.headSHA, "HeadShort": p.headSHA[:7],
	}
	if p.state == "open" {
		v["Lacks"] = s.unmet(repo, p)
	}
	v["Reviews"] = reviewViews(p)
	var comments []commentView
	for _, m := range repo.comments {
		if m.issue == n {
			comments = append(comments, commentView{m.user.login, m.created.Format("2 Jan 15:04:05"), prose(m.body)})
		}
	}
	v["Comments"] = comments
	return v, nil
}

// changes are the files of a pull request, from where it left the base.
func (r *repository) changes(ctx context.Context, p *pull) ([]changedFile, error) {
	merge, err := r.mergeBase(ctx, p.baseSHA, p.headSHA)
	if err != nil {
		return nil, err
	}
	if merge == "" {
		merge = emptyTree
	}
	return r.diff(ctx, merge, p.headSHA)
}

func (s *Server) commitView(r *http.Request, repo *repository) (view, error) {
	sha := r.PathValue("sha")
	if !isID(sha) {
		return nil, nil
	}
	c, err := repo.commit(r.Context(), sha)
	if err != nil {
		return nil, nil //nolint:nilerr // an unknown commit is a page that is not found
	}
	files, err := repo.diff(r.Context(), c.base(), c.sha)
	if err != nil {
		return nil, err
	}
	subject, message, _ := strings.Cut(c.message, "\n")
	return view{
		"Title": subject, "Subject": subject, "Message": strings.TrimSpace(message), "Author": c.author.name,
		"When": c.author.when.Format("2 Jan 2006 15:04:05"), "SHA": c.sha, "Checks": repo.checkViews(c.sha), "Files": fileViews(files),
	}, nil
}
