//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// roleEnv makes the test's program play an attacker, as whoever starts it.
const roleEnv = "BUILDWATCH_TEST_ROLE"

// leaderless is the role of a process whose first thread has ended, and others have not.
const leaderless = "leaderless"

// The first thread can end only while it runs main, which it does for good from here.
func init() {
	if os.Getenv(roleEnv) == leaderless {
		runtime.LockOSThread()
	}
}

// as runs a role as the user and returns what it says.
func (u user) as(t *testing.T, role string, args ...string) string {
	t.Helper()
	return asUID(t, uint32(userIDs[u]), role, args...)
}

func asUID(t *testing.T, id uint32, role string, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s as UID %d: %v\n%s", role, id, err, out)
	}
	return string(out)
}

// play is the role's main function.
func play(role string, args []string) int {
	var err error
	switch role {
	case "flood":
		err = flood(args[0], args[1])
	case "passed on":
		err = passedOn()
	case "forge":
		err = forge(args[0])
	case "bomb":
		err = bomb(args[0])
	case "ask":
		err = askForAPlace()
	case "become root":
		err = becomeRoot(args)
	case "process bomb":
		err = processBomb(args[0], args[1])
	case "fuse server":
		err = serveFUSE(args[0], args[1:]...)
	case "watchers":
		err = watchers(args[0])
	case "chronicler":
		err = chronicle(args[0], args[1])
	case "map":
		err = mapFile(args[0])
	case leaderless:
		err = proctest.LoseLeader(func() { time.Sleep(time.Hour) })
	default:
		err = errors.New("no such role")
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// flood makes connections to a socket, as many as it can hold, and says nothing;
// then it lets go of them and makes as many requests, one at a time on each of
// many connections at once. It says how many connections were closed by the other
// side.
func flood(socket, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	network, request := "unixpacket", wire.Encode(wire.Message{Type: wire.Prepare, Container: "buildah-buildah1"})
	if socket == api.ControlSocket {
		network, request = "unix", []byte("GET /v1/builds HTTP/1.1\r\nHost: d\r\n\r\n")
	}
	for _, talks := range []bool{false, true} {
		var held []net.Conn
		refused, asked := 0, 0
		for range n {
			conn, err := net.Dial(network, socket)
			if err != nil { // a full backlog, or no more descriptors
				refused++
				time.Sleep(100 * time.Microsecond)
				continue
			}
			if talks {
				if _, err := conn.Write(request); err == nil {
					asked++
				}
			}
			held = append(held, conn)
			if len(held) >= 900 {
				held[0].Close()
				held = held[1:]
			}
		}
		fmt.Printf("talks=%v: %d refused, %d asked\n", talks, refused, asked)
		for _, conn := range held {
			conn.Close()
		}
	}
	return nil
}

// passedOn connects as a user and hands the connection to root's process, which
// speaks.
func passedOn() error {
	conn, err := net.Dial("unix", api.ControlSocket)
	if err != nil {
		return err
	}
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	cmd := exec.Command("sudo", "sh", "-c", `id -u >&2; printf 'GET /v1/builds HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n'; timeout 2 cat >&2`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, os.Stdout
	return cmd.Run()
}

// forge tries to change what the daemon keeps at a scope, and what it does not
// look at in what the user owns.
func forge(scope string) error {
	for _, name := range []string{"user.buildwatch", "user.buildwatch.build", "trusted.buildwatch"} {
		if err := unix.Setxattr(scope, name, []byte(`{"owner":{"pid":1}}`), 0); err == nil {
			return fmt.Errorf("%s of the scope was written", name)
		}
	}
	names := make([]byte, 4096)
	n, err := unix.Listxattr(scope, names)
	if err != nil {
		return err
	}
	for name := range splitZero(names[:n]) {
		if unix.Removexattr(scope, name) == nil || unix.Setxattr(scope, name, []byte("x"), 0) == nil {
			return fmt.Errorf("%s of the scope was changed", name)
		}
		if err := unix.Setxattr(scope+"/payload", name, []byte(`{"owner":{"pid":1}}`), 0); err != nil {
			return fmt.Errorf("this kernel does not even let it be written to d: %w", err)
		}
		fmt.Println("forged", name)
	}
	for i := range 200 {
		if err := unix.Setxattr(scope+"/payload", fmt.Sprintf("user.fill%d", i), make([]byte, 1000), 0); err != nil {
			fmt.Println("full:", err)
			break
		}
	}
	return nil
}

func splitZero(list []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, b := range list {
			if b == 0 {
				if !yield(string(list[start:i])) {
					return
				}
				start = i + 1
			}
		}
	}
}

// bomb makes cgroups, side by side and one in the other, until the kernel refuses.
func bomb(dir string) error {
	wide, deep := 0, 0
	for path := dir; ; deep++ {
		path += "/deep"
		if os.Mkdir(path, 0o755) != nil {
			break
		}
		if deep > 100 {
			return errors.New("there is no limit to the depth")
		}
	}
	for ; os.Mkdir(fmt.Sprintf("%s/x (deleted)\x1b[2J%d", dir, wide), 0o755) == nil; wide++ {
		if wide > 10_000 {
			return errors.New("there is no limit to the number")
		}
	}
	fmt.Printf("%d deep, %d wide\n", deep, wide)
	return nil
}
