package control

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/peer"
)

// FuzzRequest asks, as a user who has no builds, for anything in any way. It
// never gets at the one that is there, and never an answer that is not ours.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v1/builds", "")
	f.Add("GET", "/v1/builds/bbbb2222", "")
	f.Add("POST", "/v1/builds/bbbb2222/stop", `{"owner_timeout_seconds":1}`)
	f.Add("POST", "/v1/builds/%62bbb2222/stop", `{"owner_timeout_seconds":1e3}`)
	f.Add("POST", "/v1/builds/../builds/b/stop", `null`)
	f.Add("POST", "/v1/builds/b%00/stop", `{"OWNER_TIMEOUT_NS":1}{}`)
	f.Add("GET", "/v1/builds/\x1b[2J\u202e", "")
	f.Add("POST", "/v1/builds/bbbb2222/plan", `{"owner_timeout_seconds":1}`)
	f.Add("GET", "/v1/events", "")
	f.Add("GET", "/v1/info", "")
	log := logrus.New()
	log.SetOutput(io.Discard)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		u, err := url.ParseRequestURI("/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			return
		}
		builds := newOneBuild()
		close(builds.release)
		s := New(Options{Builds: builds, Log: log, Info: func() api.Info { return api.Info{} }})
		request := &http.Request{
			Method: method, URL: u, Host: "x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		}
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, request.WithContext(withCaller(t.Context(), peer.Of(1, 1001, 1001))))

		if len(builds.stopped) != 0 {
			t.Error("stopped another user's build")
		}
		var e api.Error
		switch {
		case recorder.Code == 200:
			if strings.Contains(recorder.Body.String(), builds.build().ID) {
				t.Errorf("shown another user's build: %s", recorder.Body)
			}
			return
		case recorder.Code >= 500:
			t.Errorf("%d %s", recorder.Code, recorder.Body)
		}
		if err := json.Unmarshal(recorder.Body.Bytes(), &e); err != nil || e.Code == "" || e.Message == "" {
			t.Fatalf("no api.Error: %d %s", recorder.Code, recorder.Body)
		}
		if len(e.Message) > 1000 || strings.ContainsFunc(e.Message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("unfit for a terminal: %q", e.Message)
		}
	})
}

// FuzzStopBody: only a stop request within its bounds gets through.
func FuzzStopBody(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", `{"owner_timeout_seconds":1}`, `{"owner_timeout_seconds":-1}`, `{"a":1}`, "{}{}", "[", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		request, err := decodeStop(strings.NewReader(body))
		if given := request.OwnerTimeout; given != nil && (*given < 0 || *given > api.Seconds(api.MaxOwnerTimeout)) {
			t.Errorf("let through: %+v", request)
		}
		if err != nil && request != (api.StopRequest{}) {
			t.Errorf("%+v together with %v", request, err)
		}
		if err != nil && status(err) != http.StatusBadRequest {
			t.Errorf("%v is a %d", err, status(err))
		}
	})
}
