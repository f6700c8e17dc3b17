package github

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	gogithub "github.com/google/go-github/v60/github"
)

func (w *world) appClient(sign func(jwt.MapClaims) (string, error), change func(jwt.MapClaims)) *gogithub.Client {
	w.t.Helper()
	claims := jwt.MapClaims{"iss": strconv.FormatInt(w.app.ID, 10), "iat": time.Now().Unix() - 30, "exp": time.Now().Unix() + 300}
	if change != nil {
		change(claims)
	}
	token, err := sign(claims)
	w.must(err)
	client, err := w.Client(token)
	w.must(err)
	return client
}

func (w *world) byKey(claims jwt.MapClaims) (string, error) {
	key, err := jwt.ParseRSAPrivateKeyFromPEM(w.app.PrivateKey)
	w.must(err)
	return jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
}

func TestAnAppIsKnownByItsKey(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	app, _, err := w.appClient(w.byKey, nil).Apps.Get(ctx, "")
	if w.must(err); app.GetSlug() != "pawl" {
		t.Errorf("the App is %v", app)
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another issuer":  func(c jwt.MapClaims) { c["iss"] = "1" },
		"expired":         func(c jwt.MapClaims) { c["exp"] = time.Now().Unix() - 1 },
		"too long":        func(c jwt.MapClaims) { c["exp"] = time.Now().Unix() + 3600 },
		"from the future": func(c jwt.MapClaims) { c["iat"] = time.Now().Unix() + 600 },
		"without iat":     func(c jwt.MapClaims) { delete(c, "iat") },
	} {
		_, _, err := w.appClient(w.byKey, change).Apps.Get(ctx, "")
		t.Log(name)
		wantStatus(t, err, 401)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	w.must(err)
	for name, sign := range map[string]func(jwt.MapClaims) (string, error){
		"another key": func(c jwt.MapClaims) (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodRS256, c).SignedString(stranger)
		},
		"no signature": func(c jwt.MapClaims) (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodNone, c).SignedString(jwt.UnsafeAllowNoneSignatureType)
		},
		"a shared secret": func(c jwt.MapClaims) (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte("key"))
		},
	} {
		_, _, err := w.appClient(sign, nil).Apps.Get(ctx, "")
		t.Log(name)
		wantStatus(t, err, 401)
	}
}

func TestAnInstallationTokenIsNarrowAndShortLived(t *testing.T) {
	t.Parallel()
	now := newClock()
	w := start(t, Options{Clock: now.Now})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	_, err := w.CreateRepo("acme", "other")
	w.must(err)
	app := w.appClient(w.byKey, nil)
	token, _, err := app.Apps.CreateInstallationToken(ctx, w.app.InstallationID, &gogithub.InstallationTokenOptions{
		Repositories: []string{"shop"}, Permissions: &gogithub.InstallationPermissions{Contents: gogithub.String("read")},
	})
	w.must(err)
	client, err := w.Client(token.GetToken())
	w.must(err)
	_, _, err = client.Git.GetRef(ctx, "acme", "shop", "heads/main")
	w.must(err)
	_, _, err = client.Git.CreateBlob(ctx, "acme", "shop", &gogithub.Blob{Content: gogithub.String("x"), Encoding: gogithub.String("utf-8")})
	wantStatus(t, err, 403)
	_, _, err = client.Repositories.Get(ctx, "acme", "other")
	wantStatus(t, err, 404)
	now.Advance(59 * time.Minute)
	_, _, err = client.Git.GetRef(ctx, "acme", "shop", "heads/main")
	w.must(err)
	now.Advance(2 * time.Minute)
	_, _, err = client.Git.GetRef(ctx, "acme", "shop", "heads/main")
	wantStatus(t, err, 401)

	_, _, err = app.Apps.CreateInstallationToken(ctx, w.app.InstallationID, &gogithub.InstallationTokenOptions{
		Permissions: &gogithub.InstallationPermissions{Administration: gogithub.String("write")},
	})
	wantStatus(t, err, 422)
}

func TestWhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	w := start(t, Options{})
	ctx := t.Context()
	w.push("main", map[string]string{"a.txt": "one\n"})
	bad, err := w.Client("ghp_unknown")
	w.must(err)
	_, _, err = bad.Repositories.Get(ctx, "acme", "shop")
	wantStatus(t, err, 401)
	nobody, err := w.Client("")
	w.must(err)
	_, _, err = nobody.Repositories.Get(ctx, "acme", "shop")
	wantStatus(t, err, 404)
	w.must(w.SetRole(shop, "bob", "read"))
	_, _, err = w.bob.API().Git.CreateBlob(ctx, "acme", "shop", &gogithub.Blob{Content: gogithub.String("x"), Encoding: gogithub.String("utf-8")})
	wantStatus(t, err, 403)
	w.must(w.SetRole(shop, "bob", "none"))
	_, _, err = w.bob.API().Repositories.Get(ctx, "acme", "shop")
	wantStatus(t, err, 404)

	for credentials, want := range map[[2]string]int{
		{"x-access-token", w.ann.Token}: http.StatusOK, {"x-access-token", "wrong"}: http.StatusUnauthorized, {"bob", w.bob.Token}: http.StatusUnauthorized,
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.URL()+"/acme/shop.git/info/refs?service=git-upload-pack", nil)
		w.must(err)
		request.SetBasicAuth(credentials[0], credentials[1])
		response, err := http.DefaultClient.Do(request)
		w.must(err)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("git as %s: %d, want %d", credentials[0], response.StatusCode, want)
		}
	}
}
