package policies

// Demands are all that an environment asks of a release. Those of the agent's
// configuration, of the compliance level and of the repository add up (And).
// The zero Demands refuse every image, as the zero Trust does.
type Demands struct {
	Trust Trust
	// Policies are the names of the policies that must have been evaluated, and
	// deny nothing.
	Policies []string
	// Commit is asked of the commit that changes what runs.
	Commit CommitDemand
	// Approvals is how many people must have approved the pull request by which
	// the change came; 0 asks for none, and for no pull request.
	Approvals int
}

// CommitDemand is what is asked of the commit that changes what runs.
type CommitDemand struct {
	Signed SignedCommits
	// FollowRewrites lets a target go on after its branch was rewritten so that
	// what was accepted last is no ancestor any more.
	FollowRewrites bool
}

// SignedCommits says which commits must bear a signature that counts.
type SignedCommits string

const (
	SignedNone  SignedCommits = ""      // no commit
	SignedHead  SignedCommits = "head"  // the newest that touches the target, and nothing about those before it
	SignedEvery SignedCommits = "every" // each that touches the target since what was accepted last
)

// strictness orders them. What is not known is the strictest, and Judge refuses
// by it: somebody meant something.
func (s SignedCommits) strictness() int {
	switch s {
	case SignedNone:
		return 0
	case SignedHead:
		return 1
	case SignedEvery:
		return 2
	}
	return 3
}

// NoDemands ask nothing, and change nothing that they are added to: where the
// demands of a repository or of a level start. By themselves they cover no
// image, so they refuse every one. The zero Demands are no such thing: they
// refuse rewritten branches, and every image, whatever they are added to.
func NoDemands() Demands {
	return Demands{Trust: Trust{adds: true}, Commit: CommitDemand{FollowRewrites: true}}
}

// And are demands that accept what both accept and nothing else, except that
// tightening trust (NewTightening) covers no image itself. Neither order nor
// repetition matters.
func (d Demands) And(other Demands) Demands {
	out := Demands{
		Trust:     d.Trust.And(other.Trust),
		Policies:  set(append(set(d.Policies), other.Policies...)),
		Commit:    CommitDemand{Signed: d.Commit.Signed, FollowRewrites: d.Commit.FollowRewrites && other.Commit.FollowRewrites},
		Approvals: max(d.Approvals, other.Approvals),
	}
	// Of two unknown ones the text decides, so that their order does not.
	a, b := d.Commit.Signed, other.Commit.Signed
	if b.strictness() > a.strictness() || b.strictness() == a.strictness() && b > a {
		out.Commit.Signed = b
	}
	return out
}

// Fingerprint identifies what is asked: the same demands have the same one,
// whatever order they were added in. Of policies it holds the names, not what
// they say.
func (d Demands) Fingerprint() string {
	return contentID("demands", d.Trust.fingerprint(), set(append([]string{}, d.Policies...)), d.Commit.Signed, d.Commit.FollowRewrites, max(d.Approvals, 0))
}
