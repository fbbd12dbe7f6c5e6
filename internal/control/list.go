package control

import (
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// list answers GET api.PathBuilds.
func list(s *Server, _ http.ResponseWriter, r *http.Request, _ string) (any, error) {
	return api.BuildList{Builds: s.visible(caller(r.Context()))}, nil
}
