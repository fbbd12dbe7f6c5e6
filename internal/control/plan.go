package control

import (
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// plan answers POST api.PathPlan: who may not stop a build may not see how either.
func plan(s *Server, w http.ResponseWriter, r *http.Request, given string) (any, error) {
	request, err := decodeStop(http.MaxBytesReader(w, r.Body, s.limits.body))
	if err != nil {
		return nil, err
	}
	id, err := s.resolve(caller(r.Context()), given)
	if err != nil {
		return nil, err
	}
	p, err := s.Builds.Plan(r.Context(), id, request)
	if err != nil {
		return nil, goneMeanwhile(given, err)
	}
	if p.Actions == nil {
		p.Actions = []api.PlanAction{}
	}
	return p, nil
}
