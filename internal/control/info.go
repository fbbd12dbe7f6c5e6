package control

import (
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// info answers GET api.PathInfo. It holds nothing of anybody's: all may ask.
func info(s *Server, _ http.ResponseWriter, _ *http.Request, _ string) (any, error) {
	if s.Info == nil {
		return api.Info{}, nil
	}
	return s.Info(), nil
}
