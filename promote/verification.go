package promote

// Verification is what the forge says of a commit's signature. It knows only
// keys that people gave it, and vouches that a key belongs to the account.
type Verification struct {
	Verified bool
	Reason   string // the forge's: "valid", "unsigned", "unknown_key"
	// Signer is whose key it is: the committer's account. With ByGitHub it is the
	// forge's own, which signs what it makes itself, and For is who had it made;
	// otherwise the author is whatever the signer wrote. Zero unless verified, and
	// without an ID where the account is gone.
	Signer   Account
	For      Account
	ByGitHub bool
}
