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

// configInForce answers GET api.PathConfig. Everybody may read the files, too.
func configInForce(s *Server, _ http.ResponseWriter, _ *http.Request, _ string) (any, error) {
	if s.Config == nil {
		return api.Config{Values: []api.ConfigValue{}}, nil
	}
	return s.Config(), nil
}
