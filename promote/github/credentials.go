package github

import "context"

// GitCredentials are for reading the repository with git over HTTPS: the same
// token as for the API, under the user name that GitHub documents for it.
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation
func (f *Forge) GitCredentials(ctx context.Context) (user, password string, err error) {
	password, err = f.token(ctx)
	return "x-access-token", password, err
}
