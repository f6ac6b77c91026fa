// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Kind is a kind of forge, by its API.
type Kind string

// The kinds.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea" // and Forgejo
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{GitHub, GitLab, Gitea} }

// apiPath is where the API of a forge begins.
func (k Kind) apiPath() string {
	switch k {
	case GitHub:
		return "/api/v3" // of GitHub Enterprise
	case GitLab:
		return "/api/v4"
	}
	return "/api/v1"
}

// Locate derives the base URL of a forge's API and the project (owner/name, or
// deeper with GitLab) from the URL of a repository: https, http, ssh or
// git@host:path. A forge below a path of its own host is given by the URL of
// its API with the project behind it, such as
// https://example.org/gitlab/api/v4/group/project.
func Locate(kind Kind, repository string) (api, project string, err error) {
	u, err := parseRepository(repository)
	if err != nil {
		return "", "", err
	}
	path := strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	base := url.URL{Scheme: u.Scheme, Host: u.Host}
	marker := strings.Trim(kind.apiPath(), "/") + "/"
	switch before, after, found := strings.Cut("/"+path, "/"+marker); {
	case found:
		base.Path, path = before+kind.apiPath(), after
	case kind == GitHub && (u.Host == "github.com" || u.Host == "api.github.com"):
		base.Host = "api.github.com"
	default:
		base.Path = kind.apiPath()
	}
	if err := checkProject(kind, path); err != nil {
		return "", "", err
	}
	return base.String(), path, nil
}

// parseRepository returns an http or https URL with the host and path of a
// repository. Its errors do not show the URL, which may hold a password.
func parseRepository(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		host, path, ok := strings.Cut(s, ":")
		if !ok || strings.Contains(host, "/") {
			return nil, errors.New("the repository is at no forge: its URL is neither https, http nor ssh")
		}
		s = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("the URL of the repository cannot be read")
	}
	switch u.Scheme {
	case "https", "http":
		if u.User != nil {
			return nil, errors.New("the URL of the repository holds credentials")
		}
	case "ssh":
		u.Scheme, u.Host = "https", u.Hostname()
	default:
		return nil, errors.New("the repository is at no forge: its URL is neither https, http nor ssh")
	}
	if u.Host == "" {
		return nil, errors.New("the URL of the repository has no host")
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func checkProject(kind Kind, project string) error {
	parts := strings.Split(project, "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return fmt.Errorf("%q is no project", project)
		}
	}
	if len(parts) < 2 || len(parts) > 2 && kind != GitLab {
		return fmt.Errorf("%q is no project of the form owner/name", project)
	}
	return nil
}
