//go:build integration

package integration

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// slowTicks runs for longer than another build takes to begin on a busy host.
const slowTicks = "RUN for i in 1 2 3 4 5 6 7 8; do echo $i >> /ticks; /bin/busybox sleep 1.5; done\n"

// goesOn fails unless the one build that is listed is wanted for some seconds.
func goesOn(t *testing.T, id string, after string) {
	t.Helper()
	for range 4 {
		time.Sleep(500 * time.Millisecond)
		found := false
		for _, view := range listed(t) {
			found = found || view.ID == id && view.State.Wanted() && view.Processes > 0
		}
		if !found {
			t.Fatalf("%s the build is no longer wanted: %+v", after, listed(t))
		}
	}
}

// startEvents opens another connection to the service, as Podman Desktop does.
func startEvents(t *testing.T, socket string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash", "-c", "exec "+fmt.Sprintf(eventStream, socket))
	must(t, cmd.Start())
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestAPIClientInAnotherNetworkNamespace: of a CI job in a container with podman's socket
// mounted. Its build goes on when another client has gone, and ends when it has.
func TestAPIClientInAnotherNetworkNamespace(t *testing.T) {
	for _, who := range []user{root, builder} {
		t.Run(string(who), func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			who.startSocket(t)
			t.Cleanup(func() { who.tidy(t) })
			events, held := startEvents(t, who.socket()), startEvents(t, who.socket())
			client := "unshare --net "
			if who != root {
				client += fmt.Sprintf("setpriv --reuid %[1]s --regid %[1]s --init-groups env HOME=/home/%[1]s XDG_RUNTIME_DIR=/run/user/%[2]d ", who, userIDs[who])
			}
			b := startBuildOf(t, root, client+"podman --remote --url unix://"+who.socket()+" build", family, "--network=none")
			view := listedOf(t, who, familySize)
			processes := hold(t, view)
			end(events)
			goesOn(t, view.ID, "when another client has gone")
			b.signal(t, 9)
			allGone(t, processes)
			nothingListed(t)
			end(held)
		})
	}
}

// TestAPIServiceInANetworkNamespaceOfItsOwn, whose clients are in the host's.
func TestAPIServiceInANetworkNamespaceOfItsOwn(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	socket := filepath.Join(t.TempDir(), "podman.sock")
	service := startProgram(t, root, "unshare --net podman system service --time 0 unix://"+socket, false)
	eventually(t, func() (string, bool) {
		_, err := os.Stat(socket)
		return "no socket: " + service.said(), err == nil
	})
	held := startEvents(t, socket)
	b := startBuildOf(t, root, "podman --remote --url unix://"+socket+" build", family, "--network=none")
	view := listedOf(t, root, familySize)
	processes := hold(t, view)
	goesOn(t, view.ID, "without a reason")
	b.signal(t, 9)
	allGone(t, processes)
	nothingListed(t)
	end(held)
}

// TestAPIServiceOnTCP: its connections are seen as others are.
func TestAPIServiceOnTCP(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	service := startProgram(t, root, "podman system service --time 0 tcp://127.0.0.1:18080", false)
	eventually(t, func() (string, bool) {
		conn, err := net.Dial("tcp", "127.0.0.1:18080")
		if err == nil {
			conn.Close()
		}
		return "it does not listen: " + service.said(), err == nil
	})
	held := exec.Command("curl", "-sN", "http://127.0.0.1:18080/v4.0.0/libpod/events?stream=true")
	must(t, held.Start())
	t.Cleanup(func() { end(held) })
	b := startBuildOf(t, root, "podman --remote --url tcp://127.0.0.1:18080 build", family, "--network=none")
	processes := hold(t, listedOf(t, root, familySize))
	b.signal(t, 9)
	allGone(t, processes)
	nothingListed(t)
	end(held)
}

// TestAPIBuildOutlivesACleanerAndAnotherClient: neither of the two is its own client's
// end, in whichever order they come.
func TestAPIBuildOutlivesACleanerAndAnotherClient(t *testing.T) {
	for _, order := range []string{"cleaner first", "client first"} {
		t.Run(order, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			serveAPI(t)
			events := startEvents(t, rootSocket)
			b := startRemote(t, family)
			view := listedAs(t, 1, familySize)[0]
			if order == "client first" {
				end(events)
				time.Sleep(50 * time.Millisecond)
			}
			sh(t, "rm -rf /var/tmp/libpod_builder*")
			if order == "cleaner first" {
				time.Sleep(50 * time.Millisecond)
				end(events)
			}
			goesOn(t, view.ID, order+":")
			if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "State: unsure") || !strings.Contains(out, "its directory is gone, and no client has gone with it") {
				t.Errorf("explained as %s", out)
			}
			processes := hold(t, view)
			_ = b.cmd.Process.Kill() // the last one that may be its client
			allGone(t, processes)
		})
	}
}

// completesWhole waits for a build of slowTicks that is tagged "first": nobody has harmed it.
func completesWhole(first *build) {
	t := first.t
	t.Helper()
	first.succeed()
	if got := fileInImage(t, "first", "ticks"); got != allTicks {
		t.Errorf("the image has the ticks %q", got)
	}
	tidied(t)
	sh(t, "podman rmi --force --ignore first base")
}

// TestStepIsNotTakenForAnothersWithTheSameWords: when the second client leaves, the first
// build goes on, and only the second is ended.
func TestStepIsNotTakenForAnothersWithTheSameWords(t *testing.T) {
	words := strings.TrimSuffix(strings.TrimPrefix(slowTicks, "RUN "), "\n")
	for _, row := range []struct {
		name, first string
		readme      string
	}{
		{"a twin", "RUN " + words + "\n", ""},
		{"escapes of JSON", `RUN ["/bin/sh", "-c", "` + strings.NewReplacer(";", `\u003b`, ">", `\u003e`).Replace(words) + `"]` + "\n", words},
		{"continued lines, another shell", "SHELL [\"/bin/busybox\", \"sh\", \"-c\"]\nRUN " + strings.ReplaceAll(words, "; ", "; \\\n  # why\n  ") + "\n", words},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakCheck(t)
			serveAPI(t)
			first := startRemote(t, row.first, "--tag", "first")
			listedAs(t, 1, 1)
			second := "RUN " + words + "; /bin/busybox sleep 1001\n"
			if row.readme == "" {
				second = row.first
			}
			dir := contextDir(t, second)
			write(t, filepath.Join(dir, "README"), row.readme)
			b := startCommand(t, "podman", "--remote", "build", "--no-cache", "--network=none", "--platform", arch64, dir)
			builds := listedAs(t, 2, 1)
			processes := hold(t, builds[1])
			_ = b.cmd.Process.Kill()
			allGone(t, processes)
			completesWhole(first)
		})
	}
}

// TestStepThatIsInNoContext: of an ONBUILD, or of a Containerfile that the service has
// fetched. Another request's Containerfile holds the very same.
func TestStepThatIsInNoContext(t *testing.T) {
	server := http.Server{Handler: http.FileServer(http.Dir(contextDir(t, slowTicks)))}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	for name, file := range map[string]string{
		"ONBUILD": "",
		"a URL":   fmt.Sprintf("http://%s/Containerfile", listener.Addr()),
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			serveAPI(t)
			dir := contextDir(t, "RUN true\n") // not in use where there is a URL
			args := []string{"--remote", "build", "--no-cache", "--network=none", "--platform", arch64, "--tag", "first"}
			if file != "" {
				args = append(args, "--file", file)
			} else {
				base := startPodman(t, "ONBUILD "+slowTicks, "build", "--format", "docker", "--tag", "base")
				base.succeed()
				write(t, filepath.Join(dir, "Containerfile"), "FROM localhost/base\n")
			}
			first := startCommand(t, "podman", append(args, dir)...)
			begun := false
			eventually(t, func() (string, bool) {
				select {
				case err := <-first.done:
					first.done <- err
					return "", true
				default:
					begun = len(listed(t)) == 1
					return "it does not begin", begun
				}
			})
			if !begun { // podman 4.3.1 takes the URL for a file's name
				if file == "" || first.wait() == 0 || !strings.Contains(first.out.String(), "no such file") {
					t.Errorf("it has ended:\n%s", first.out.String())
				}
				tidied(t)
				return
			}
			second := startRemote(t, slowTicks)
			processes := hold(t, listedAs(t, 2, 1)[1])
			_ = second.cmd.Process.Kill()
			allGone(t, processes)
			completesWhole(first)
		})
	}
}

// TestDirectoryOfAKilledServiceKeepsNoBuild: it has the same context as the one that is
// cancelled.
func TestDirectoryOfAKilledServiceKeepsNoBuild(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	sh(t, "mkdir -p /var/tmp/libpod_builder1000; cp -r %s /var/tmp/libpod_builder1000/build", contextDir(t, family))
	b := startRemote(t, family)
	processes := hold(t, listedAs(t, 1, familySize)[0])
	_ = b.cmd.Process.Kill()
	allGone(t, processes)
	sh(t, "rm -r /var/tmp/libpod_builder1000")
	tidied(t)
}

// TestAPIServiceWithThousandsOfConnections: one among them is found, and so is its end.
func TestAPIServiceWithThousandsOfConnections(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	for range 5000 {
		eventually(t, func() (string, bool) { // it accepts no faster than it can
			conn, err := net.Dial("unix", rootSocket)
			if err != nil {
				return err.Error(), false
			}
			t.Cleanup(func() { conn.Close() })
			return "", true
		})
	}
	b := startRemote(t, family)
	view := listedAs(t, 1, familySize)[0]
	processes := hold(t, view)
	goesOn(t, view.ID, "among many connections")
	_ = b.cmd.Process.Kill()
	allGone(t, processes)
	tidied(t)
}

// TestWhereNoConnectionCanBeLookedAt: the daemon may not duplicate descriptors.
func TestWhereNoConnectionCanBeLookedAt(t *testing.T) {
	leakCheck(t)
	const dropIn = "/etc/systemd/system/buildwatchd.service.d/90-test.conf"
	sh(t, "mkdir -p %s", filepath.Dir(dropIn))
	write(t, dropIn, "[Service]\nSystemCallFilter=~pidfd_getfd\n")
	restart := func() { sh(t, "systemctl daemon-reload; systemctl restart buildwatchd.service"); startDaemon(t) }
	t.Cleanup(func() { sh(t, "rm -r %s", filepath.Dir(dropIn)); restart() })
	restart()
	serveAPI(t)
	events := startEvents(t, rootSocket)
	holdService(t, rootSocket)
	b := startRemote(t, family)
	view := listedAs(t, 1, familySize)[0]
	processes := hold(t, view)
	end(events)
	goesOn(t, view.ID, "when another client has gone")
	_ = b.cmd.Process.Kill()
	allGone(t, processes)
	tidied(t)
	if view.Mode != api.ModeAPI {
		t.Errorf("%+v", view)
	}
}
