package sigstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"math/big"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/pawl-dev/pawl/internal/testworld/images"
)

// otherKey finds the second public key by which the signature verifies, in
// PEM. Nobody has its private key, but an entry in the log can be had with it.
//
// A signature (r, s) of z verifies by each Q = (sR - zG)/r where R is a point
// with the x of r. There are two, as R and -R have the same x: SEC 1, 4.1.6.
// crypto/elliptic calls its arithmetic deprecated for want of a use like this.
func otherKey(made signed, signer *images.Key) ([]byte, error) {
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(made.signature, &signature); err != nil {
		return nil, err
	}
	own, err := signer.Verifier().PublicKey()
	if err != nil {
		return nil, err
	}
	curve := elliptic.P256()
	field, order := curve.Params().P, curve.Params().N
	digest := sha256.Sum256(made.message)

	// y² = x³ - 3x + b
	x := signature.R
	square := new(big.Int).Exp(x, big.NewInt(3), field)
	square.Sub(square, new(big.Int).Mul(big.NewInt(3), x)).Add(square, curve.Params().B).Mod(square, field)
	y := new(big.Int).ModSqrt(square, field)
	if y == nil {
		return nil, errors.New("the signature is no point of the curve")
	}
	inverse := new(big.Int).ModInverse(signature.R, order)
	bySignature := new(big.Int).Mul(signature.S, inverse)
	byDigest := new(big.Int).SetBytes(digest[:])
	byDigest.Neg(byDigest).Mul(byDigest, inverse)
	scalar := func(n *big.Int) []byte { return new(big.Int).Mod(n, order).Bytes() }
	for _, y := range []*big.Int{y, new(big.Int).Sub(field, y)} {
		x1, y1 := curve.ScalarMult(x, y, scalar(bySignature))
		x2, y2 := curve.ScalarBaseMult(scalar(byDigest))
		found := &ecdsa.PublicKey{Curve: curve}
		found.X, found.Y = curve.Add(x1, y1, x2, y2)
		if !found.Equal(own) && ecdsa.VerifyASN1(found, digest[:], made.signature) {
			return cryptoutils.MarshalPublicKeyToPEM(found)
		}
	}
	return nil, errors.New("the signature has no second key")
}
