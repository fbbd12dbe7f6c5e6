package proc

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestArgsAreThoseOfTheProcess(t *testing.T) {
	odd := []string{"", "a b", "line\nbreak", "\x1b[31m", "\xff\xfe", ")"}
	c := startShell(t, "", odd...)
	r := NewReader()
	got, err := r.Args(context.Background(), c.Handle)
	if err != nil || len(got) < 3 || !slices.Equal(got[len(got)-len(odd):], odd) {
		t.Errorf("Args = %q, %v", got, err)
	}
	if r.Stuck() != 0 {
		t.Errorf("%d reads are under way", r.Stuck())
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

// hang makes reads of command lines wait, as a process does whose arguments lie
// behind a FUSE server of its own. The reads end by release.
func hang(r *Reader) (started <-chan struct{}, release func()) {
	begun, gate := make(chan struct{}, maxReaders), make(chan struct{})
	r.read = func(string, int64) ([]byte, error) {
		begun <- struct{}{}
		<-gate
		return []byte("late\x00"), nil
	}
	return begun, sync.OnceFunc(func() { close(gate) })
}

// Attack 32: the kernel waits for the process that is looked at.
func TestReadThatHangsIsLeftBehind(t *testing.T) {
	self, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	r := NewReader()
	started, release := hang(r)
	defer release()

	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := r.Args(ctx, self)
		result <- err
	}()
	<-started
	cancel(cause)
	if err := <-result; !errors.Is(err, cause) {
		t.Errorf("Args = %v; want the context's cause", err)
	}
	if r.Stuck() != 1 {
		t.Errorf("%d reads count as stuck, want 1", r.Stuck())
	}

	// All the others hang too, and then no more are begun.
	var waiting sync.WaitGroup
	ctx, cancel = context.WithCancelCause(context.Background())
	for range maxReaders - 1 {
		waiting.Go(func() { _, _ = r.Args(ctx, self) })
		<-started
	}
	if _, err := r.Args(context.Background(), self); !errors.Is(err, ErrBusy) {
		t.Errorf("one read more: %v; want ErrBusy", err)
	}
	if r.Stuck() != maxReaders {
		t.Errorf("%d reads count as stuck, want %d", r.Stuck(), maxReaders)
	}
	cancel(cause)
	waiting.Wait()

	// Reads that end give their place back.
	release()
	deadline := time.Now().Add(5 * time.Second)
	for r.Stuck() != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d reads are still counted", r.Stuck())
		}
		time.Sleep(time.Millisecond)
	}
	if args, err := r.Args(context.Background(), self); err != nil || !slices.Equal(args, []string{"late"}) {
		t.Errorf("Args = %q, %v", args, err)
	}
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
