package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

const (
	alice = 1000
	bob   = 1001
)

func build(id string, uid uint32) api.BuildDetail {
	return api.BuildDetail{Build: api.Build{BuildHead: api.BuildHead{
		ID: id, State: api.StateRunning, User: api.User{UID: uid},
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}}}
}

// ask sends one request and returns status and body.
func ask(t *testing.T, socket, method, path, body string) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: Content-Type is %q", method, path, got)
	}
	return response.StatusCode, string(answer)
}

func TestUsersSeeTheirOwnBuildsAndRootAll(t *testing.T) {
	for _, test := range []struct {
		uid  uint32
		want string
	}{
		{0, "[bbbb2222 cccc2222 rrrr2222]"},
		{alice, "[bbbb2222]"},
		{bob, "[cccc2222]"},
		{1002, "[]"},
		{65534, "[]"}, // even if a build were nobody's
		{1<<32 - 1, "[]"},
	} {
		builds := controltest.NewBuilds(build("rrrr2222", 0), build("bbbb2222", alice), build("cccc2222", bob))
		socket := controltest.Start(t, builds, test.uid)
		code, body := ask(t, socket, "GET", api.PathBuilds, "")
		var list api.BuildList
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 {
			t.Fatalf("uid %d: %d %s", test.uid, code, body)
		}
		ids := make([]string, 0)
		for _, b := range list.Builds {
			ids = append(ids, b.ID)
		}
		if got := fmt.Sprint(ids); got != test.want {
			t.Errorf("uid %d sees %s, want %s", test.uid, got, test.want)
		}
		if strings.Contains(body, "null") {
			t.Errorf("uid %d: null in %s", test.uid, body)
		}
	}
}

// TestAnothersBuildIsAsGoodAsNone: whoever guesses IDs learns nothing, and stops
// nothing.
func TestAnothersBuildIsAsGoodAsNone(t *testing.T) {
	with := controltest.NewBuilds(build("cccc2222", bob), build("cccd2222", bob), build("bbbb2222", alice))
	without := controltest.NewBuilds(build("bbbb2222", alice))
	for _, id := range []string{"cccc2222", "cccc", "ccc", "c", "cccc22222"} {
		for _, request := range [][2]string{{"GET", "/v1/builds/" + id}, {"POST", "/v1/builds/" + id + "/stop"}, {"POST", "/v1/builds/" + id + "/plan"}} {
			codeWith, bodyWith := ask(t, controltest.Start(t, with, alice), request[0], request[1], "")
			codeWithout, bodyWithout := ask(t, controltest.Start(t, without, alice), request[0], request[1], "")
			if codeWith != 404 || codeWith != codeWithout || bodyWith != bodyWithout {
				t.Errorf("%v: %d %s, but %d %s if it is not there", request, codeWith, bodyWith, codeWithout, bodyWithout)
			}
		}
	}
	if len(with.Stops()) != 0 {
		t.Errorf("stopped: %v", with.Stops())
	}
}

// TestBuildThatHasGoneMeanwhile is the same error again, though Builds says it
// in words of its own.
func TestBuildThatHasGoneMeanwhile(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", alice))
	builds.OnStop = func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
		return api.Build{}, fmt.Errorf("stop: %w", &api.Error{Code: api.CodeNotFound, Message: "other words"})
	}
	_, body := ask(t, controltest.Start(t, builds, alice), "POST", "/v1/builds/bb/stop", "")
	_, want := ask(t, controltest.Start(t, controltest.NewBuilds(), alice), "POST", "/v1/builds/bb/stop", "")
	if body != want {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestShortenedIDs(t *testing.T) {
	named := func(name string, b api.BuildDetail) api.BuildDetail { b.Name = name; return b }
	builds := controltest.NewBuilds(build("bbbb2222", alice), build("bbbc2222", alice), build("bbbd2222", bob), build("bbbb", alice),
		named("nightly", build("cccc2222", alice)), named("nightly", build("dddd2222", bob)), named("eee", build("ffff2222", alice)),
		build("eeee2222", alice), named("bbbb", build("gggg2222", alice)), named("two", build("hhhh2222", alice)), named("two", build("iiii2222", alice)))
	socket := controltest.Start(t, builds, alice)
	for _, test := range []struct {
		id   string
		code int
		want string
	}{
		{"bbbc", 200, `"id":"bbbc2222"`},
		{"bbbb", 200, `"id":"bbbb"`}, // whole before shortened
		{"nightly", 200, `"id":"cccc2222"`},
		{"night", 404, "no build with ID"},
		{"eee", 200, `"id":"ffff2222"`}, // a name before a shortened ID
		{"two", 409, `fits several builds: hhhh2222, iiii2222`},
		{"bbbb2", 200, `"id":"bbbb2222"`},
		{"bbb", 409, `ID \"bbb\" fits several builds: bbbb, bbbb2222, bbbc2222"`}, // and not bbbd2222
		{"", 400, `the ID is empty`},
		{"x", 404, `no build with ID \"x\"`},
		{"..", 404, `no build with ID \"..\"`},
		{"a%2fstop", 404, `no build with ID \"a/stop\"`},
		{"%1b%5d", 404, `no build with ID \"\\x1b]\"`},
	} {
		code, body := ask(t, socket, "GET", "/v1/builds/"+test.id, "")
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%q: %d %s, want %d %s", test.id, code, body, test.code, test.want)
		}
	}
}

func TestAmbiguousIDNamesOnlySoMany(t *testing.T) {
	builds := make([]api.BuildDetail, 30)
	for i := range builds {
		builds[i] = build(fmt.Sprintf("bbbb%02d", i), alice)
	}
	_, body := ask(t, controltest.Start(t, controltest.NewBuilds(builds...), alice), "GET", "/v1/builds/b", "")
	if !strings.Contains(body, "bbbb09 and 20 more") {
		t.Error(body)
	}
}

func TestShowHasNoNull(t *testing.T) {
	_, body := ask(t, controltest.Start(t, controltest.NewBuilds(build("bbbb2222", alice)), alice), "GET", "/v1/builds/b", "")
	if strings.Contains(body, "null") {
		t.Error(body)
	}
}

func TestStopPassesOnWhoAndHowLong(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", alice), build("cccc2222", bob))
	socket := controltest.Start(t, builds, 0)
	code, body := ask(t, socket, "POST", "/v1/builds/bbbb2222/stop", `{"owner_timeout_seconds":3}`)
	if code != 200 || !strings.Contains(body, `"state":"gone"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(t, socket, "POST", "/v1/builds/c/stop", ""); code != 200 {
		t.Errorf("without a body: %d %s", code, body)
	}
	want := fmt.Sprint([]controltest.Stop{{ID: "bbbb2222", OwnerTimeout: "3s"}, {ID: "cccc2222"}})
	if got := fmt.Sprint(builds.Stops()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadRequests(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", alice))
	socket := controltest.Start(t, builds, alice)
	const stop = "/v1/builds/bbbb2222/stop"
	for _, test := range []struct {
		method, path, body string
		code               int
	}{
		{"POST", stop, `{"owner_timeout_seconds":1,"signal":9}`, 400},
		{"POST", stop, `{"owner_timeout_seconds":-1}`, 400},
		{"POST", stop, `{"owner_timeout_seconds":1e10}`, 400},
		{"POST", stop, `{"owner_timeout_seconds":3600.000001}`, 400},
		{"POST", stop, `{"owner_timeout_seconds":1e400}`, 400},
		{"POST", stop, `{"owner_timeout_seconds":"1s"}`, 400},
		{"POST", stop, `{} {}`, 400},
		{"POST", stop, `{} x`, 400},
		{"POST", stop, `[]`, 400},
		{"POST", stop, `{`, 400},
		{"POST", stop, `{"owner_timeout_seconds":` + strings.Repeat(" ", 70<<10) + `1}`, 400},
		{"POST", stop, `{}` + strings.Repeat(" ", 70<<10), 400},
		{"POST", "/v1/builds//stop", ``, 400},
		{"GET", stop, ``, 405},
		{"POST", "/v1/builds", ``, 405},
		{"DELETE", "/v1/builds/bbbb2222", ``, 405},
		{"GET", "/", ``, 404},
		{"GET", "/v1/builds/bbbb2222/", ``, 404},
		{"GET", "/v1//builds", ``, 404},
		{"GET", "/v1/x/../builds", ``, 404},
		{"GET", "/v2/builds", ``, 404},
	} {
		code, body := ask(t, socket, test.method, test.path, test.body)
		var e api.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code != api.CodeBadRequest || code != test.code {
			t.Errorf("%s %s %.40s: %d %s", test.method, test.path, test.body, code, body)
		}
	}
	if len(builds.Stops()) != 0 {
		t.Errorf("stopped: %v", builds.Stops())
	}
}

func TestInfo(t *testing.T) {
	code, body := ask(t, controltest.Start(t, controltest.NewBuilds(), bob), "GET", api.PathInfo, "")
	if code != 200 || !strings.Contains(body, `"version":"1.2.3"`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestWhatGoesWrongStaysInTheLog: errors of the daemon's own may name what only
// root may know.
func TestWhatGoesWrongStaysInTheLog(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("secret") },
		"panic": func() error { panic("secret") },
	} {
		t.Run(name, func(t *testing.T) {
			builds := controltest.NewBuilds(build("bbbb2222", alice))
			builds.OnStop = func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
				return api.Build{}, fail()
			}
			var logged strings.Builder
			log := logrus.New()
			log.SetOutput(&logged)
			observed := make(map[string]bool)
			socket := controltest.Serve(t, control.New(control.Options{
				Builds: builds, Log: log, Identify: controltest.As(alice),
				Count: func(verb string, failed bool) { observed[verb] = failed },
			}))
			code, body := ask(t, socket, "POST", "/v1/builds/b/stop", "")
			if code != 500 || strings.Contains(body, "secret") || !strings.Contains(body, "journalctl") {
				t.Errorf("%d %s", code, body)
			}
			if !strings.Contains(logged.String(), "secret") {
				t.Errorf("the log says only %q", logged.String())
			}
			if code, _ := ask(t, socket, "GET", api.PathBuilds, ""); code != 200 {
				t.Errorf("afterwards: %d", code)
			}
			if failed, ok := observed["stop"]; !failed || !ok || observed["list"] {
				t.Errorf("observed %v", observed)
			}
		})
	}
}

// TestMistypedIDIsNoFailureOfTheDaemons, nor is any other mistake of who asks.
func TestMistypedIDIsNoFailureOfTheDaemons(t *testing.T) {
	builds := controltest.NewBuilds(build("bbbb2222", alice), build("bbbb3333", alice))
	counted := make(map[string]int)
	log := logrus.New()
	log.SetOutput(t.Output())
	socket := controltest.Serve(t, control.New(control.Options{
		Builds: builds, Log: log, Identify: controltest.As(alice),
		Count: func(verb string, failed bool) {
			if failed {
				t.Errorf("%s has failed", verb)
			}
			counted[verb]++
		},
	}))
	for path, want := range map[string]int{"/v1/builds/xyz": 404, "/v1/builds/bbbb": 409} {
		if code, body := ask(t, socket, "GET", path, ""); code != want {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, body := ask(t, socket, "POST", "/v1/builds/bbbb2222/stop", "no JSON"); code != 400 {
		t.Errorf("%d %s", code, body)
	}
	if counted["show"] != 2 || counted["stop"] != 1 {
		t.Errorf("counted %v", counted)
	}
}
