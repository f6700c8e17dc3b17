package registry

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// User may sign in.
type User struct {
	Name, Password string
	// Repositories are those that the user may use; none means all.
	Repositories []string
}

// SetUsers replaces all users. Tokens of before are no longer worth anything.
func (r *Registry) SetUsers(users ...User) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users, r.tokens = slices.Clone(users), map[string]string{}
}

// ForgetTokens ends all sign-ins, as time does.
func (r *Registry) ForgetTokens() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = map[string]string{}
}

// serveToken is the token service: distribution.github.io/distribution/spec/auth/token
func (r *Registry) serveToken(w http.ResponseWriter, request *http.Request) {
	user, ok := r.signedIn(request)
	if !ok {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong user or password")
		return
	}
	token := rand.Text()
	r.mu.Lock()
	r.tokens[token] = user.Name
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

// signedIn is the user of a request by password.
func (r *Registry) signedIn(request *http.Request) (User, bool) {
	name, password, _ := request.BasicAuth()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, user := range r.users {
		if subtle.ConstantTimeCompare([]byte(name), []byte(user.Name))&
			subtle.ConstantTimeCompare([]byte(password), []byte(user.Password)) == 1 {
			return user, true
		}
	}
	return User{}, false
}

// admit answers a request that may not be made, and tells whether it may.
func (r *Registry) admit(w http.ResponseWriter, request *http.Request, asked Request) bool {
	r.mu.Lock()
	open := len(r.users) == 0
	r.mu.Unlock()
	if open {
		return true
	}
	user, ok := r.signedIn(request)
	if r.options.Tokens {
		user, ok = r.byToken(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	}
	switch {
	case !ok:
		w.Header().Set("WWW-Authenticate", r.challenge(asked))
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	case asked.Repository != "" && len(user.Repositories) > 0 && !slices.Contains(user.Repositories, asked.Repository):
		refuse(w, http.StatusForbidden, "DENIED", "not this repository")
		return false
	}
	return true
}

func (r *Registry) challenge(asked Request) string {
	if !r.options.Tokens {
		return `Basic realm="registry"`
	}
	challenge := fmt.Sprintf(`Bearer realm="%s/token",service="registry"`, r.URL())
	if asked.Repository != "" {
		challenge += fmt.Sprintf(`,scope="repository:%s:pull"`, asked.Repository)
	}
	return challenge
}

func (r *Registry) byToken(token string) (User, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, ok := r.tokens[token]
	if !ok {
		return User{}, false
	}
	i := slices.IndexFunc(r.users, func(u User) bool { return u.Name == name })
	return r.users[max(i, 0)], i >= 0
}
