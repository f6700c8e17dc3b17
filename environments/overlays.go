package environments

import (
	"errors"
	"fmt"
	"strings"
)

const (
	envPlaceholder = "{env}"
	appPlaceholder = "{app}"
)

// overlaySegments splits and judges an overlay pattern. A placeholder is a
// whole segment: with "{app}-{env}" the folder "web-eu-dev" could be web in
// eu-dev as well as web-eu in dev, and one overlay must not be two targets.
func overlaySegments(pattern string) ([]string, error) {
	switch {
	case strings.HasPrefix(pattern, "/"):
		return nil, errors.New(`is absolute; write it relative to the root of the repository, without the first "/"`)
	case strings.ContainsAny(pattern, "\\:"):
		return nil, errors.New(`holds "\" or ":"; write a relative folder with "/" between its parts`)
	}
	segments := strings.Split(strings.TrimSuffix(pattern, "/"), "/")
	count := map[string]int{}
	for _, s := range segments {
		switch {
		case s == "..":
			return nil, errors.New(`holds ".."; overlays lie inside of the repository`)
		case s == "" || s == ".":
			return nil, fmt.Errorf("holds an empty part; write it like %s", overlaysExample)
		case s == envPlaceholder || s == appPlaceholder:
			count[s]++
		case strings.ContainsAny(s, "{}"):
			if strings.Contains(s, envPlaceholder) || strings.Contains(s, appPlaceholder) {
				return nil, fmt.Errorf("holds %s, but a placeholder stands alone between slashes, like %s", quote(s), overlaysExample)
			}
			return nil, fmt.Errorf("holds %s, which is no placeholder; known are {env} and {app}%s", quote(s), DidYouMean(s, []string{envPlaceholder, appPlaceholder}))
		}
	}
	switch {
	case count[envPlaceholder] == 0:
		return nil, fmt.Errorf("has no {env}; write it like %s", overlaysExample)
	case count[envPlaceholder] > 1 || count[appPlaceholder] > 1:
		return nil, errors.New("has a placeholder twice; each stands once")
	}
	return segments, nil
}

const overlaysExample = "apps/{app}/overlays/{env}"
