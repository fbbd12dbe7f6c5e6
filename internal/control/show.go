package control

import (
	"net/http"

	"github.com/buildwatch/buildwatch/api"
)

// show answers GET api.PathBuild.
func show(s *Server, _ http.ResponseWriter, r *http.Request, given string) (any, error) {
	id, err := s.resolve(caller(r.Context()), given)
	if err != nil {
		return nil, err
	}
	detail, err := s.Builds.Detail(id)
	if err != nil {
		return nil, goneMeanwhile(given, err)
	}
	detail.Build = presentable(detail.Build)
	if detail.ProcessTree == nil {
		detail.ProcessTree = []api.Process{}
	}
	if detail.Ladder == nil {
		detail.Ladder = []api.UsedRung{}
	}
	if detail.ChangesWhen == nil {
		detail.ChangesWhen = []api.Change{}
	}
	if detail.Facts == nil {
		detail.Facts = []api.Fact{}
	}
	return detail, nil
}
