package control

import (
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// handler answers one verb: with a document, or an error; or by itself, and then
// returns answered.
type handler func(s *Server, w http.ResponseWriter, r *http.Request, id string) (any, error)

// verbs are all requests that there are.
var verbs = []struct {
	name, method, path string
	handle             handler
}{
	{"list", http.MethodGet, api.PathBuilds, list},
	{"show", http.MethodGet, api.PathBuild, show},
	{"stop", http.MethodPost, api.PathStop, stop},
	{"plan", http.MethodPost, api.PathPlan, plan},
	{"watch", http.MethodGet, api.PathEvents, watch},
	{"run", http.MethodPost, api.PathRun, run},
	{"info", http.MethodGet, api.PathInfo, info},
	{"config", http.MethodGet, api.PathConfig, configInForce},
}

// Verbs lists the names that Options.Count is called with.
func Verbs() []string {
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	return names
}

// ServeHTTP finds the verb. It does not use http.ServeMux, which answers unknown
// and unclean paths by itself, with something else than an api.Error.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	known := false
	for _, verb := range verbs {
		id, ok := match(verb.path, r.URL.EscapedPath())
		if !ok {
			continue
		}
		if verb.method == r.Method {
			answer, err := s.call(verb.handle, w, r, id)
			s.Count(verb.name, err != nil && isOurs(err))
			if answer == (answered{}) {
				return
			}
			s.reply(w, r, answer, err)
			return
		}
		known = true
		w.Header().Add("Allow", verb.method)
	}
	if known {
		s.reply(w, r, nil, methodNotAllowed(r.Method))
		return
	}
	s.reply(w, r, nil, unknownPath(r.URL.Path))
}

// match compares an escaped path with a pattern of package api, and returns what
// stands in the place of {id}.
func match(pattern, path string) (id string, ok bool) {
	before, after, hasID := strings.Cut(pattern, "{id}")
	if !hasID {
		return "", path == pattern
	}
	id, ok = strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, after)
	if !ok || strings.Contains(id, "/") {
		return "", false
	}
	id, err := url.PathUnescape(id)
	return id, err == nil
}

// call runs a handler. One that panics is a mistake of ours that must not end
// the daemon, nor the builds' supervision with it.
func (s *Server) call(h handler, w http.ResponseWriter, r *http.Request, id string) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.WithField("stack", string(debug.Stack())).Errorf("Control request %s %q of %s: panic: %v", r.Method, r.URL.Path, caller(r.Context()), p)
			answer, err = nil, errInternal
		}
	}()
	return h(s, w, r, id)
}
