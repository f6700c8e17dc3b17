package gitsync_test

import (
	"testing"

	"github.com/pawl-dev/pawl/gitsync"
)

func BenchmarkVerify(b *testing.B) {
	own, pgp := sshSigner(b), pgpKey(b, nil)
	known := signers(b, sshPublic(own), pgpPublic(b, pgp))
	for name, text := range map[string]string{"SSH": sshText(sshSign(b, own, "git")), "OpenPGP": pgpText(b, pgpSign(b, pgp.PrivateKey, nil))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := known.Verify(gitsync.Signature{Text: text, Payload: payload}, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
