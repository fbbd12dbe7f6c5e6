package control

import "net/http"

// info answers GET api.PathInfo. It holds nothing of anybody's: all may ask.
func info(s *Server, _ http.ResponseWriter, _ *http.Request, _ string) (any, error) {
	return s.Info(), nil
}
