package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/share"
)

func TestArgsAreThoseOfTheProcess(t *testing.T) {
	odd := []string{"", "a b", "line\nbreak", "\x1b[31m", "\xff\xfe", ")"}
	c := startShell(t, "", odd...)
	r := NewReader()
	got, err := r.Args(context.Background(), c.Handle)
	if err != nil || len(got) < 3 || !slices.Equal(got[len(got)-len(odd):], odd) {
		t.Errorf("Args = %q, %v", got, err)
	}
	if r.InFlight() != 0 {
		t.Errorf("%d reads are under way", r.InFlight())
	}
}

// Attack 31: 128 KiB of arguments, all of them in the daemon's memory.
func TestArgsAreReadUpToALimit(t *testing.T) {
	c := startShell(t, "", strings.Repeat("x", 100<<10))
	got, err := NewReader().Args(context.Background(), c.Handle)
	if total := len(strings.Join(got, "\x00")); err != nil || total != maxCmdline {
		t.Errorf("%d bytes, %v; want %d", total, err, maxCmdline)
	}
}

func TestEnvIsThatOfTheProcess(t *testing.T) {
	t.Setenv("OF_THIS", "a=b\nc")
	t.Setenv("OTHER_OF_THIS", "other")
	c := startShell(t, "")
	r := NewReader()
	for name, want := range map[string]string{"OF_THIS": "a=b\nc", "F_THIS": "", "OF": "", "NOT_THERE": ""} {
		if got, err := r.Env(context.Background(), c.Handle, name); got != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	r.read = func(string, int64) ([]byte, error) { return make([]byte, maxEnviron), nil }
	if got, err := r.Env(context.Background(), c.Handle, "OF_THIS"); !errors.Is(err, ErrTooLong) {
		t.Errorf("of one that is read in part: %q, %v", got, err)
	}
}

// hang makes reads of these processes' command lines wait, as those do whose arguments
// lie behind a FUSE server of their own. The reads end by release.
func hang(r *Reader, of ...*Handle) (release func()) {
	gate, read := make(chan struct{}), r.read
	r.read = func(path string, limit int64) ([]byte, error) {
		for _, h := range of {
			if strings.HasPrefix(path, fmt.Sprintf("/proc/%d/", h.PID)) {
				<-gate
				return []byte("late\x00"), nil
			}
		}
		return read(path, limit)
	}
	return sync.OnceFunc(func() { close(gate) })
}

func shells(t *testing.T, n int) (all []*Handle) {
	for range n {
		all = append(all, startShell(t, "").Handle)
	}
	return all
}

// Attack 32: the kernel waits for the process that is looked at. It is left behind, and
// nobody waits for it a second time, until it answers.
func TestReadThatHangsIsLeftBehind(t *testing.T) {
	h := startShell(t, "").Handle
	r := NewReader()
	release := hang(r, h)
	defer release()
	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := r.Args(ctx, h)
		result <- err
	}()
	proctest.Eventually(t, "it is so", func() bool { return r.InFlight() == 1 })
	cancel(cause)
	if err := <-result; !errors.Is(err, cause) {
		t.Errorf("Args = %v; want the context's cause", err)
	}
	for range 3 * readsOfUsers {
		if _, err := r.Args(context.Background(), h); !errors.Is(err, ErrHangs) {
			t.Fatalf("once more: %v; want ErrHangs", err)
		}
	}
	if r.InFlight() != 1 {
		t.Errorf("%d reads are under way, want 1", r.InFlight())
	}
	release()
	proctest.Eventually(t, "it is so", func() bool { return r.InFlight() == 0 })
	if args, err := r.Args(context.Background(), h); err != nil || !slices.Equal(args, []string{"late"}) {
		t.Errorf("Args = %q, %v", args, err)
	}
}

// TestOneUsersReadsThatHangKeepNobodyElseWaiting: a user has as many processes as they
// like whose command lines can't be read. Another's, and root's, are read at once.
func TestOneUsersReadsThatHangKeepNobodyElseWaiting(t *testing.T) {
	r := NewReader()
	owner := map[int]share.Account{} // of processes
	r.of = func(h *Handle) (share.Account, error) { return owner[h.PID], nil }
	of := func(uid uint32, n int) []*Handle {
		all := shells(t, n)
		for _, h := range all {
			owner[h.PID] = share.Account{UID: uid}
		}
		return all
	}
	var bad []*Handle
	for uid := uint32(20000); uid < 20040; uid++ {
		bad = append(bad, of(uid, 2)...)
	}
	bad = append(bad, of(30000, readsOfUser+16)...)
	others, roots := of(30001, 1)[0], of(0, 1)[0]
	release := hang(r, bad...)
	defer release()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, h := range bad[80:] {
		waiting.Go(func() { _, _ = r.Args(ctx, h) })
	}
	proctest.Eventually(t, "it is so", func() bool { return r.InFlight() == readsOfUser })
	for name, h := range map[string]*Handle{"another user's": others, "root's": roots} {
		if _, err := r.Args(context.Background(), h); err != nil {
			t.Errorf("%s process is not read: %v", name, err)
		}
	}
	// Forty more users do the same: they take all but what is kept for users who have none.
	for _, h := range bad[:80] {
		waiting.Go(func() { _, _ = r.Args(ctx, h) })
	}
	proctest.Eventually(t, "it is so", func() bool { return r.InFlight() == readsOfUsers })
	if _, err := r.Args(context.Background(), roots); err != nil {
		t.Errorf("root's process is not read: %v", err)
	}
	cancel()
	waiting.Wait()
	release()
	proctest.Eventually(t, "it is so", func() bool { return r.InFlight() == 0 && r.idle() })
}

// TestManyReadsAtOnceAreAllMade: who starts many steps at once waits, and is not refused.
func TestManyReadsAtOnceAreAllMade(t *testing.T) {
	r := NewReader()
	read := r.read
	r.read = func(path string, limit int64) ([]byte, error) {
		time.Sleep(time.Millisecond)
		return read(path, limit)
	}
	var all sync.WaitGroup
	for _, h := range shells(t, 40) {
		for range 4 {
			all.Go(func() {
				if args, err := r.Args(context.Background(), h); err != nil || len(args) == 0 {
					t.Errorf("Args = %q, %v", args, err)
				}
			})
		}
	}
	all.Wait()
}

func TestWhatWasReadOfAProcessThatEndedIsDropped(t *testing.T) {
	c := startShell(t, "")
	r := NewReader()
	r.read = func(string, int64) ([]byte, error) {
		c.process.End()
		waitShort(t, c.Handle)
		return []byte("of another process by now\x00"), nil
	}
	if args, err := r.Args(context.Background(), c.Handle); !errors.Is(err, ErrGone) || args != nil {
		t.Errorf("Args = %q, %v; want ErrGone", args, err)
	}
}

func TestSplitArgs(t *testing.T) {
	for _, test := range []struct {
		content string
		want    []string
	}{
		{"", nil},
		{"\x00", nil}, // one empty argument looks like none
		{"a\x00", []string{"a"}},
		{"a", []string{"a"}}, // cut off
		{"a\x00b\x00", []string{"a", "b"}},
		{"a\x00b", []string{"a", "b"}},
		{"a\x00\x00", []string{"a", ""}},
		{"\x00\x00", []string{"", ""}},
		{"\x00a\x00", []string{"", "a"}},
		{"a b\nc\x00", []string{"a b\nc"}},
	} {
		if got := splitArgs([]byte(test.content)); !slices.Equal(got, test.want) {
			t.Errorf("splitArgs(%q) = %q, want %q", test.content, got, test.want)
		}
	}
}

func FuzzSplitArgs(f *testing.F) {
	f.Add([]byte("podman\x00build\x00"))
	f.Add([]byte("\x00\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		args := splitArgs(content)
		if len(args) > len(content)+1 {
			t.Fatalf("%q became %d arguments", content, len(args))
		}
		if args == nil {
			return
		}
		joined := strings.Join(args, "\x00")
		if joined != string(content) && joined+"\x00" != string(content) {
			t.Fatalf("%q became %q", content, args)
		}
	})
}

// idle reports whether nothing is remembered of any read.
func (r *Reader) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flying) == 0
}
