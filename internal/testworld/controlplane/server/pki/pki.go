// Package pki makes the certificates of a control plane and keeps them in a
// folder, so that a kubeconfig stays valid when the control plane starts again.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A Folder holds a control plane's certificates and keys as NAME.crt and
// NAME.key: ca, front-proxy-ca, apiserver, service-account (key only) and one
// pair for each of the identities below.
type Folder string

// The identities that get a client certificate. The common name is the user
// name in RBAC and in the audit log.
var identities = map[string]pkix.Name{
	"admin":              {CommonName: "kubernetes-admin", Organization: []string{"system:masters"}},
	"controller-manager": {CommonName: "system:kube-controller-manager"},
	"scheduler":          {CommonName: "system:kube-scheduler"},
	"nodes":              {CommonName: "system:simulated-nodes", Organization: []string{"system:masters"}},
}

// Cert is the path of a certificate, Key that of its key.
func (f Folder) Cert(name string) string { return filepath.Join(string(f), name+".crt") }
func (f Folder) Key(name string) string  { return filepath.Join(string(f), name+".key") }

// Ensure returns the folder, filled. A folder that exists is complete: it is
// made under another name and renamed, so that a kill in between leaves none.
func Ensure(path string) (Folder, error) {
	if _, err := os.Stat(path); err == nil {
		return Folder(path), nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(filepath.Dir(path), "pki-part-")
	if err != nil {
		return "", err
	}
	if err := fill(Folder(part)); err != nil {
		_ = os.RemoveAll(part)
		return "", fmt.Errorf("make the control plane's certificates in %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return "", err
	}
	return Folder(path), nil
}

func fill(f Folder) error {
	ca, err := f.authority("ca", "pawl-testworld-ca")
	if err != nil {
		return err
	}
	proxyCA, err := f.authority("front-proxy-ca", "pawl-testworld-front-proxy-ca")
	if err != nil {
		return err
	}
	err = f.issue(ca, "apiserver", x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, net.IPv4(10, 96, 0, 1)},
	})
	if err != nil {
		return err
	}
	if err := f.issue(proxyCA, "front-proxy-client", client(pkix.Name{CommonName: "front-proxy-client"})); err != nil {
		return err
	}
	for name, subject := range identities {
		if err := f.issue(ca, name, client(subject)); err != nil {
			return err
		}
	}
	_, err = f.key("service-account")
	return err
}

func client(subject pkix.Name) x509.Certificate {
	return x509.Certificate{Subject: subject, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func (f Folder) authority(name, commonName string) (authority, error) {
	key, err := f.key(name)
	if err != nil {
		return authority{}, err
	}
	template := x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := f.sign(name, template, nil, key, key)
	return authority{certificate, key}, err
}

func (f Folder) issue(by authority, name string, template x509.Certificate) error {
	key, err := f.key(name)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, err = f.sign(name, template, by.certificate, key, by.key)
	return err
}

// sign writes NAME.crt; without a parent the certificate signs itself.
func (f Folder) sign(name string, template x509.Certificate, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// An hour back: the clocks of a container and its host may differ.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().AddDate(10, 0, 0)
	if parent == nil {
		parent = &template
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	if err := writePEM(f.Cert(name), "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (f Folder) key(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(f.Key(name), "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
