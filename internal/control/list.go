package control

import (
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// list answers GET api.PathBuilds.
func list(s *Server, _ http.ResponseWriter, r *http.Request, _ string) (any, error) {
	c := caller(r.Context())
	builds := []api.Build{}
	for _, b := range s.Builds.List(func(u api.User) bool { return mayUse(c, u) }) {
		builds = append(builds, presentable(b))
	}
	api.SortBuilds(builds)
	return api.BuildList{Builds: builds}, nil
}
