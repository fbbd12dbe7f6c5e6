//go:build integration

package integration

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// longSleep is what a step of requestStep waits for, until its test ends it.
const longSleep = "1234"

// requestStep tells by a variable whose it is, and by a file that it went to its end.
const requestStep = "ARG WHO\nRUN /bin/busybox sleep " + longSleep + "; echo $WHO >/who\nRUN echo end >>/who\n"

// An apiRequest is one build that a service was asked for.
type apiRequest struct {
	who    string
	client *exec.Cmd
	out    strings.Builder
}

// ask has the user's service build. archive is the context, "" for none.
func ask(t *testing.T, socket, who, path, query, archive string) *apiRequest {
	t.Helper()
	r := &apiRequest{who: who}
	args := []string{"-sN", "--fail-with-body", "--unix-socket", socket, "-X", "POST"}
	if archive != "" {
		args = append(args, "-H", "Content-Type: application/x-tar", "--data-binary", "@"+archive)
	}
	query += "&nocache=1&forcerm=1&networkmode=none&platform=" + url.QueryEscape(arch64) +
		"&t=localhost/" + who + "&buildargs=" + url.QueryEscape(`{"WHO":"`+who+`"}`)
	r.client = exec.Command("curl", append(args, "http://d"+path+"?"+query)...)
	r.client.Stdout, r.client.Stderr = &r.out, &r.out
	must(t, r.client.Start())
	t.Cleanup(func() { end(r.client) })
	return r
}

// processesOf are those of the request's step, which know its variable.
func (r *apiRequest) processes(t *testing.T) (all, sleeping []int) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, name := range names {
		environment, _ := os.ReadFile(name + "/environ")
		if !slices.Contains(strings.Split(string(environment), "\x00"), "WHO="+r.who) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(name))
		must(t, err)
		all = append(all, pid)
		line, _ := os.ReadFile(name + "/cmdline")
		if args := strings.Split(string(line), "\x00"); slices.Equal(args[max(0, len(args)-3):], []string{"sleep", longSleep, ""}) {
			sleeping = append(sleeping, pid)
		}
	}
	return all, sleeping
}

// begun waits for the request's step, and holds its processes.
func (r *apiRequest) begun(t *testing.T) (held []*proc.Handle) {
	t.Helper()
	eventually(t, func() (string, bool) {
		all, sleeping := r.processes(t)
		for _, h := range held {
			h.Close()
		}
		held = nil
		for _, pid := range all {
			h, err := proc.Open(pid)
			if err != nil {
				return err.Error(), false
			}
			held = append(held, h)
		}
		return "the step of " + r.who + " does not begin", len(sleeping) > 0
	})
	for _, h := range held {
		t.Cleanup(h.Close)
	}
	return held
}

// TestRequestsThatLookAlikeAreToldApart: of one service, begun at once. Neither their
// directories nor what their monitors were told says which is which: the contexts lie where
// the service reads them itself (POST /libpod/local/build, as podman's client does on a
// Mac), or the isolation is chroot. One after the other is cancelled, the last one first;
// each ends at once, and no other is touched or doubted.
func TestRequestsThatLookAlikeAreToldApart(t *testing.T) {
	for _, who := range []user{root, builder} {
		t.Run(string(who), func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			who.startSocket(t)
			t.Cleanup(func() { who.tidy(t) })
			held := startEvents(t, who.socket())
			t.Cleanup(func() { end(held) })
			contexts := make([]string, 2)
			for i := range contexts {
				dir := contextDir(t, requestStep)
				sh(t, "cp %[1]s/Containerfile %[1]s/Other; echo '# another' >>%[1]s/Other; chmod 755 %[1]s %[1]s/..; tar -C %[1]s -cf %[1]s.tar .", dir)
				contexts[i] = dir
			}
			// podman before 5.7 has no such builds.
			path, query := "/v5.7.0/libpod/local/build", "localcontextdir="+contexts[0]+"&dockerfile="
			archive := ""
			if said := sh(t, "curl -s -X POST --unix-socket %s http://d%s", who.socket(), path); strings.Contains(said, "Not Found") {
				path, query, archive = "/v4.0.0/libpod/build", "isolation=chroot&dockerfile=", contexts[0]+".tar"
			}
			socket := who.socket()
			requests := []*apiRequest{
				ask(t, socket, "first", path, query+"Containerfile", archive),
				ask(t, socket, "twin", path, query+"Containerfile", archive),
				ask(t, socket, "other", path, query+"Other", archive),
				ask(t, socket, "elsewhere", path, strings.ReplaceAll(query, contexts[0], contexts[1])+"Containerfile", archive),
				ask(t, socket, "docker", "/v1.41/build", "dockerfile=Containerfile", contexts[0]+".tar"),
				ask(t, socket, "chroot", "/v4.0.0/libpod/build", "isolation=chroot&dockerfile=Containerfile", contexts[0]+".tar"),
			}
			steps := map[string][]*proc.Handle{}
			for _, r := range requests {
				steps[r.who] = r.begun(t)
			}
			allCertain(t, len(requests))
			for i := len(requests) - 1; i > 0; i-- {
				end(requests[i].client)
				allGone(t, steps[requests[i].who])
				allCertain(t, i)
				for _, r := range requests[:i] {
					for _, h := range steps[r.who] {
						if !h.Alive() {
							t.Fatalf("%s was cancelled, and process %d of %s has ended:\n%s", requests[i].who, h.PID, r.who, r.out.String())
						}
					}
				}
			}
			first := requests[0]
			_, sleeping := first.processes(t)
			sh(t, "kill %s", strings.Trim(fmt.Sprint(sleeping), "[]"))
			if err := first.client.Wait(); err != nil {
				t.Errorf("the client of the one that was wanted: %v\n%s", err, first.out.String())
			}
			content := who.unshared(t, "podman", "cat $(podman image mount localhost/first)/who; podman image unmount localhost/first >/dev/null")
			if content != "first\nend" {
				t.Errorf("its image has %q", content)
			}
			nothingListed(t)
		})
	}
}

// allCertain waits until so many builds are listed, and it is certain of each that it is
// wanted.
func allCertain(t *testing.T, builds int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		all := listed(t)
		certain := len(all) == builds && !slices.ContainsFunc(all, func(b api.Build) bool { return b.State != api.StateRunning })
		return fmt.Sprintf("want %d running builds: %+v", builds, all), certain
	})
}
