package request

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

func tells(t testing.TB) *hangups {
	t.Helper()
	h := newHangups()
	t.Cleanup(h.close)
	return h
}

// TestClientThatGoesIsToldOfAtOnce, and one that sends no more; and the service closes its
// connection as if nobody had looked at it.
func TestClientThatGoesIsToldOfAtOnce(t *testing.T) {
	for network, address := range map[string]string{"unix": "@" + t.Name(), "tcp": "127.0.0.1:0"} {
		t.Run(network, func(t *testing.T) {
			conns := serve(t, network, address, 3)
			r, later := request(t), tells(t)
			if _, err := sights(self(t), r.Conns, later); err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Conns {
				if !later.tells(c) {
					t.Errorf("%+v is not watched", c)
				}
			}
			if _, err := conns[0].client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if len(later.told) > 0 {
				t.Error("told of a client that sends")
			}
			for i, leave := range []func() error{conns[0].client.Close, conns[1].client.(interface{ CloseWrite() error }).CloseWrite} {
				if err := leave(); err != nil {
					t.Fatal(err)
				}
				select {
				case <-later.told:
				case <-time.After(never):
					t.Fatalf("client %d has gone, and nothing is told", i)
				}
			}
			told := 0
			for _, c := range r.Conns {
				if !later.tells(c) {
					told++
				}
			}
			if told != 2 {
				t.Errorf("%d were told of, want 2", told)
			}
			conns[2].served.Close()
			if n, err := conns[2].client.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the client of a service that has closed reads %d, %v", n, err)
			}
		})
	}
}

// TestRequestOfAClientThatGoesIsOverWithoutAnotherLook: looks are too rare to be waited for.
func TestRequestOfAClientThatGoesIsOverBeforeTheNextLook(t *testing.T) {
	conns := serveUnix(t, 1)
	r := request(t, makeDir(t))
	r.Own = true
	ctx, cancel := context.WithTimeout(t.Context(), rarely/2)
	defer cancel()
	err := NewWatcher(proc.NewReader()).Wait(ctx, r, func(now Sight) {
		if now.Standing == Live {
			go conns[0].client.Close()
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRemovedFilesOfOthersWakeNobody.
func TestRemovedFilesOfOthersWakeNobody(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		padded := make([]byte, (len(name)/16+1)*16)
		copy(padded, name)
		head := make([]byte, unix.SizeofInotifyEvent)
		binary.NativeEndian.PutUint32(head[4:], mask)
		binary.NativeEndian.PutUint32(head[12:], uint32(len(padded)))
		return slices.Concat(head, padded)
	}
	others := append(event(unix.IN_DELETE, "go-build1"), event(unix.IN_DELETE|unix.IN_ISDIR, "libpod_builder")...)
	for what, events := range map[string][]byte{
		"its directory": append(others, event(unix.IN_DELETE|unix.IN_ISDIR, "libpod_builder12")...),
		"renamed":       append(others, event(unix.IN_MOVED_FROM|unix.IN_ISDIR, "libpod_builder12")...),
		"lost events":   event(unix.IN_Q_OVERFLOW, ""),
	} {
		if !tellsOfRequests(events) {
			t.Errorf("%s tells nothing", what)
		}
	}
	if tellsOfRequests(others) || tellsOfRequests(nil) {
		t.Error("files of others tell something")
	}
}
