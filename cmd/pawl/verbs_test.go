package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/environments"
	"github.com/pawl-dev/pawl/internal/testworld/images"
	"github.com/pawl-dev/pawl/internal/testworld/registry"
	"github.com/pawl-dev/pawl/internal/testworld/sigstore"
)

// verbs are what scripts can say beside testscript's own commands.
var verbs = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":    verb((*scene).exits),
	"example":  verb((*scene).example),
	"write":    verb((*scene).write),
	"expand":   verb((*scene).expand),
	"rewrite":  verb((*scene).rewrite),
	"registry": verb((*scene).startRegistry),
	"push":     verb((*scene).push),
	"sigstore": verb((*scene).startSigstore),
	"signs":    verb((*scene).signs),
	"attests":  verb((*scene).attests),
	"ago":      verb((*scene).ago),
	"answers":  verb((*scene).answers),
	"cluster":  verb((*scene).cluster),
	"deploy":   verb((*scene).deploy),

	"validates": verb(func(s *scene, args []string) { s.judge(args, true) }),
	"violates":  verb(func(s *scene, args []string) { s.judge(args, false) }),
}

// scene is what a script has built up around the command.
type scene struct {
	*testscript.TestScript
	registry *registry.Registry
	key      *images.Key
	sigstore *sigstore.Sigstore
	images   map[string]name.Digest // the last one pushed to each repository
}

type sceneKey struct{}

func setup(env *testscript.Env) error {
	env.Values[sceneKey{}] = &scene{images: map[string]name.Digest{}}
	return nil
}

func verb(do func(*scene, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(sceneKey{}).(*scene)
		s.TestScript = ts
		if neg {
			ts.Fatalf("this verb cannot be negated")
		}
		do(s, args)
	}
}

func (s *scene) want(ok bool, usage string) {
	if !ok {
		s.Fatalf("usage: %s", usage)
	}
}

// exits CODE COMMAND... runs a command that must end with an exit code.
func (s *scene) exits(args []string) {
	s.want(len(args) > 1, "exits CODE COMMAND...")
	code := 0
	var exit *exec.ExitError
	if err := s.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		s.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		s.Fatalf("it exits with %d, not %s", code, args[0])
	}
}

// example FOLDER writes the config repo that is shipped as an example.
func (s *scene) example(args []string) {
	s.want(len(args) == 1, "example FOLDER")
	s.Check(os.CopyFS(s.MkAbs(args[0]), environments.Example()))
}

// write FILE TEXT writes bytes that a script cannot hold, with \t, \x00 and so on.
func (s *scene) write(args []string) {
	s.want(len(args) == 2, "write FILE TEXT")
	text, err := strconv.Unquote(`"` + args[1] + `"`)
	s.Check(err)
	s.Check(os.WriteFile(s.MkAbs(args[0]), []byte(text), 0o644))
}

// expand FILE... puts the script's variables in the place of their names.
func (s *scene) expand(args []string) {
	s.want(len(args) > 0, "expand FILE...")
	for _, file := range args {
		text := os.Expand(s.ReadFile(file), s.Getenv)
		s.Check(os.WriteFile(s.MkAbs(file), []byte(text), 0o644))
	}
}

// rewrite FILE OLD NEW replaces one text in a file by another.
func (s *scene) rewrite(args []string) {
	s.want(len(args) == 3, "rewrite FILE OLD NEW")
	text := s.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		s.Fatalf("%s has no %q", args[0], args[1])
	}
	s.Check(os.WriteFile(s.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}

// validates SCHEMA DOCUMENT and violates SCHEMA DOCUMENT judge a document by a
// JSON Schema, as an editor would.
func (s *scene) judge(args []string, good bool) {
	s.want(len(args) == 2, "validates SCHEMA DOCUMENT")
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(s.ReadFile(args[0])))
	s.Check(err)
	compiler := jsonschema.NewCompiler()
	s.Check(compiler.AddResource("schema.json", text))
	schema, err := compiler.Compile("schema.json")
	s.Check(err)
	var document any
	s.Check(yaml.Unmarshal([]byte(s.ReadFile(args[1])), &document))
	if err := schema.Validate(document); (err == nil) != good {
		s.Fatalf("%s by %s: %v", args[1], args[0], err)
	}
}

// registry starts a registry, whose host is $REGISTRY then, and makes the key
// release.pub. "registry down" ends it.
func (s *scene) startRegistry(args []string) {
	if len(args) == 1 && args[0] == "down" {
		s.Check(s.registry.Close())
		return
	}
	s.want(len(args) == 0, "registry [down]")
	var err error
	s.registry, err = registry.Start(context.Background(), registry.Options{})
	s.Check(err)
	s.Defer(func() { _ = s.registry.Close() })
	s.key, err = images.NewKey()
	s.Check(err)
	s.Check(os.WriteFile(s.MkAbs("release.pub"), s.key.Public(), 0o644))
	s.Setenv("REGISTRY", s.registry.Host())
}

// push REPOSITORY TAG [unsigned] pushes an image. For acme/web its digest is
// $WEB then.
func (s *scene) push(args []string) {
	unsigned := len(args) == 3 && args[2] == "unsigned"
	s.want((len(args) == 2 || unsigned), "push REPOSITORY TAG [unsigned]")
	client := s.registry.Client()
	digest, err := images.Push(context.Background(), s.registry.Host()+"/"+args[0]+":"+args[1], images.Spec{Content: strings.Join(args, " ")}, client...)
	s.Check(err)
	if !unsigned {
		s.Check(images.Sign(context.Background(), digest, s.key, images.Bundle, client...))
	}
	s.images[args[0]] = digest
	s.Setenv(strings.ToUpper(path.Base(args[0])), digest.DigestStr())
}

// ago NAME DURATION makes $NAME the time so long ago.
func (s *scene) ago(args []string) {
	s.want(len(args) == 2, "ago NAME DURATION")
	d, err := time.ParseDuration(args[1])
	s.Check(err)
	s.Setenv(args[0], time.Now().Add(-d).UTC().Format(time.RFC3339))
}

// answers FILE starts what answers as an agent with the state in the file, at
// $AGENT. The file is held to the type of such answers.
func (s *scene) answers(args []string) {
	s.want(len(args) == 1, "answers FILE")
	var status agent.Status
	in := json.NewDecoder(strings.NewReader(s.ReadFile(args[0])))
	in.DisallowUnknownFields()
	s.Check(in.Decode(&status))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(status) })
	mux.HandleFunc("GET /else/status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	server := httptest.NewServer(mux)
	s.Defer(server.Close)
	s.Setenv("AGENT", server.URL)
}
