package main

import (
	"testing"

	"github.com/pawl-dev/pawl/agent"
	"github.com/pawl-dev/pawl/agent/demands"
	"github.com/pawl-dev/pawl/internal/testworld"
	"github.com/pawl-dev/pawl/internal/testworld/git"
)

// inBoth is a commit that touches dev and production alike.
func inBoth(text, image string) map[string]string {
	files := map[string]string{"pawl.yaml": pipeline("dev", "production")}
	for _, e := range []string{"dev", "production"} {
		files["overlays/"+e+"/kustomization.yaml"] = overlay
		files["overlays/"+e+"/objects.yaml"] = objects(e, text, 1, image)
	}
	return files
}

// catalogue 58
func TestCommitsThatNobodySignedAreNotDeployed(t *testing.T) {
	ssh, err := git.NewSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	pgp, err := git.NewOpenPGPKey("grace")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := git.NewSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(s *testworld.Shop, c *agent.Config) error {
		for name, key := range map[string]git.SigningKey{"ada": ssh, "grace": pgp} {
			file, err := s.File(name+".pub", []byte(key.Public))
			if err != nil {
				return err
			}
			c.Commits.Signers = append(c.Commits.Signers, demands.KeyConfig{Name: name, File: file})
		}
		c.Commits.GitHub = true
		c.Levels = []demands.LevelConfig{{Name: "standard", Commits: demands.CommitsHead}, {Name: "pci", Commits: demands.CommitsEvery}}
		c.Environments[0].Level, c.Environments[1].Level = "standard", "pci"
		return nil
	}})
	image := s.image("web", "1").String()
	both := func(commit string) {
		t.Helper()
		s.green(commit, "dev")
		s.green(commit, "production")
	}
	first := s.push(git.Commit{Message: "signed with SSH", Write: inBoth("one", image), Sign: ssh.Sign})
	s.start()
	both(first)
	both(s.push(git.Commit{Message: "signed with OpenPGP", Write: inBoth("two", image), Sign: pgp.Sign}))
	both(s.push(git.Commit{Message: "of nobody, about nothing", Write: map[string]string{"README.md": "of the shop"}}))

	mark := s.mark()
	for says, sign := range map[string]func([]byte) (string, error){
		"not signed":           nil,
		"signed by a stranger": stranger.Sign,
		"signed otherwise":     func([]byte) (string, error) { return ssh.Sign([]byte("something else")) },
	} {
		commit := s.push(git.Commit{Message: says, Write: inBoth(says, image), Sign: sign})
		s.red(commit, "dev", "CommitUnsigned", commit[:7], says)
		s.red(commit, "production", "CommitUnsigned", commit[:7], says)
	}
	s.unwritten(mark)

	// Where the head alone is looked at, a signature on top lets all below in;
	// where every commit is, it does not.
	mark = s.mark()
	unsigned, err := s.Repository.Resolve(t.Context(), "main")
	s.must(err)
	signed := s.push(git.Commit{Message: "signed, on top of what is not", Write: inBoth("three", image), Sign: ssh.Sign})
	s.green(signed, "dev")
	s.red(signed, "production", "CommitUnsigned", unsigned[:7])
	s.unwritten(mark, "production")
	s.green(s.push(git.Commit{Message: "all taken back", Write: inBoth("two", image)}), "production")

	// GitHub's own word counts, too.
	verified := s.push(git.Commit{Branch: "topic", From: "main", Message: "signed with a key that GitHub knows", Write: inBoth("four", image), Sign: stranger.Sign})
	s.must(s.World.GitHub.SetVerification(s.Repository.Name, verified, "valid"))
	s.must(s.Repository.Push(t.Context(), "ada", "main", "topic"))
	both(verified)
}

// catalogue 54
func TestARewrittenBranchStopsWhatIsProtected(t *testing.T) {
	s := tell(t, testworld.ShopOptions{Environments: []string{"dev", "production"}, Configure: func(_ *testworld.Shop, c *agent.Config) error {
		c.Environments[0].Rewrites = agent.RewritesFollow
		return nil
	}})
	image := s.image("web", "1").String()
	first := s.open(inBoth("one", image))
	second := s.commit("two", inBoth("two", image))
	s.green(second, "dev")
	s.green(second, "production")

	mark := s.mark()
	rewritten := s.push(git.Commit{From: first, Message: "rewritten", Write: inBoth("rewritten", image)})
	s.green(rewritten, "dev")
	s.red(rewritten, "production", "HistoryRewritten", second[:7])
	later := s.commit("later", inBoth("later", image))
	s.green(later, "dev")
	s.red(later, "production", "HistoryRewritten", second[:7])

	// The same where nobody saw it happen.
	s.must(s.agent.Kill())
	unrelated := s.push(git.Commit{Branch: "unrelated", Message: "unrelated", Write: inBoth("unrelated", image), Replace: true})
	s.must(s.Repository.Push(t.Context(), "ada", "main", unrelated))
	s.start()
	s.green(unrelated, "dev")
	s.red(unrelated, "production", "HistoryRewritten", second[:7])
	s.unwritten(mark, "production")

	s.must(s.Repository.Push(t.Context(), "ada", "main", second))
	s.green(s.commit("brought back", inBoth("three", image)), "production")
}
