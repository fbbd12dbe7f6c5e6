package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/peer"
)

// maxNamed is how many builds an error names at most.
const maxNamed = 10

// mayUse reports whether the caller may see a build, and stop it: root all, a user its own.
func mayUse(c peer.Credentials, of api.User) bool { return c.IsRoot() || c.Owns(of.UID) }

// presentable keeps the promise that a list is never null.
func presentable(b api.Build) api.Build {
	if b.Arch == nil {
		b.Arch = []string{}
	}
	return b
}

// resolve returns the one ID, among the builds that the caller may see, that is
// given or that begins so, or whose build has that name. What is a whole ID is that, then
// comes a name, as with podman's containers.
func (s *Server) resolve(c peer.Credentials, given string) (string, error) {
	if given == "" {
		return "", badRequest("the ID is empty")
	}
	var fitting, named []string
	heads := slices.DeleteFunc(s.Builds.Heads(), func(b api.BuildHead) bool { return !mayUse(c, b.User) })
	slices.SortFunc(heads, api.BuildHead.Compare)
	for _, b := range heads {
		if b.ID == given {
			return b.ID, nil
		}
		if b.Name == given {
			named = append(named, b.ID)
		}
		if strings.HasPrefix(b.ID, given) {
			fitting = append(fitting, b.ID)
		}
	}
	if len(named) > 0 {
		fitting = named
	}
	switch len(fitting) {
	case 0:
		return "", notFound(given)
	case 1:
		return fitting[0], nil
	}
	names := strings.Join(fitting[:min(len(fitting), maxNamed)], ", ")
	if more := len(fitting) - maxNamed; more > 0 {
		names = fmt.Sprintf("%s and %d more", names, more)
	}
	return "", &api.Error{
		Code:    api.CodeAmbiguous,
		Message: fmt.Sprintf("ID %s fits several builds: %s", quote(given), names),
	}
}

// notFound is the one error for a build that is not there and for one that is
// another user's, made of nothing but what the caller has said.
func notFound(given string) error {
	return &api.Error{Code: api.CodeNotFound, Message: "no build with ID " + quote(given)}
}

// goneMeanwhile turns what Builds says of a build that has gone since it was
// resolved into the same answer as if it had never been there.
func goneMeanwhile(given string, err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNotFound {
		return notFound(given)
	}
	return err
}
