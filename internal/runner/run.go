//go:build linux

package runner

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/podman"
)

// Run runs the command to its end, and returns the exit status for the whole.
func Run(o Options) int {
	path, err := find(o.Command[0])
	if err == nil {
		var code int
		if code, err = supervise(o, path); err == nil {
			return code
		}
	}
	o.Say(err.Error())
	if failed, ok := errors.AsType[exitError](err); ok {
		return failed.code
	}
	return ExitOwn
}

// forwarded are the signals that the command gets as they come.
var forwarded = []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// wanted are the signals that are acted on: those that are not ignored, as by nohup, or
// in a shell's background job.
func wanted() []os.Signal {
	return slices.DeleteFunc(append([]os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}, forwarded...), signal.Ignored)
}

// supervise starts the command, and waits for its end.
func supervise(o Options, path string) (int, error) {
	signals := make(chan os.Signal, 16)
	if w := wanted(); len(w) > 0 { // none would mean all
		signal.Notify(signals, w...)
		defer signal.Stop(signals)
	}

	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	t, err := openTerminal()
	if err != nil {
		return 0, err
	}
	if t != nil {
		defer t.close()
		files = t.files
	}
	started := time.Now() // before the daemon counts from
	c, err := start(path, o.Command, files, t != nil)
	if err != nil {
		return 0, err
	}
	if err := c.place(o); err != nil {
		_, _ = c.process.Wait() // it ends by the end of its link
		return 0, err
	}
	exited := make(chan *os.ProcessState, 1)
	go func() {
		state, _ := c.process.Wait()
		exited <- state
	}()
	if t != nil {
		say := o.Say
		o.Say = func(line string) {
			say(line)
			t.toMargin()
		}
		t.begin(c.build != "" || tidiesByHangup(o.Command))
	}
	s := supervision{Options: o, command: c, terminal: t, exited: exited, signals: signals, started: started}
	return s.wait(), nil
}

// supervision is the time from the command's start to its end.
type supervision struct {
	Options
	*command
	terminal *terminal // nil for none in between
	exited   <-chan *os.ProcessState
	signals  <-chan os.Signal
	started  time.Time
	stopped  chan error     // answers the stop of the build; nil before one
	by       syscall.Signal // that cancelled it; 0 for none
	since    time.Time      // when
	instead  syscall.Signal // of which the command got SIGHUP; 0 for none
}

// echoTime is for how long a signal after the first may be the same one: who signals
// a whole process group also signals sudo or runuser in it, which pass it on.
const echoTime = 250 * time.Millisecond

// wait applies what happens until the command has ended.
func (s *supervision) wait() int {
	for {
		select {
		case state := <-s.exited:
			if of, ok := s.short.end(s.by == 0 && !state.Success()); ok && s.by == 0 && !state.Success() {
				s.Say("the build was short of " + string(of.Resource) + ": " + of.String())
			}
			if s.by != 0 {
				s.finishCancel()
				return 128 + int(s.by)
			}
			if s.build != "" && !state.Success() {
				s.tellWhy()
			}
			if code := status(state); s.instead == 0 || code != 128+int(unix.SIGHUP) {
				return code
			}
			return 128 + int(s.instead)
		case got := <-s.signals:
			if s.by != 0 && time.Since(s.since) < echoTime {
				continue
			}
			s.handle(got.(syscall.Signal))
		case key := <-s.terminal.keys():
			s.handle(key)
		case err := <-s.stopped:
			s.stopped = nil
			if err != nil {
				s.Say("cannot end the build cleanly: " + err.Error())
				s.passOn(s.by)
			}
		}
	}
}

// whyTime is how long the look for what has ended the build may hold up the prompt.
const whyTime = 3 * time.Second

// tellWhy tells the user of a command that failed if it was the build that was ended:
// podman knows of nothing but a step that failed.
func (s *supervision) tellWhy() {
	line := ""
	if s.Why != nil {
		ctx, cancel := context.WithTimeout(context.Background(), whyTime)
		defer cancel()
		line = s.Why(ctx, s.build)
	}
	if limit := time.Duration(s.Request.Timeout); line == "" && limit > 0 && time.Since(s.started) >= limit {
		line = "the build was ended: its time is over" // no daemon is there to say more
	}
	if line != "" {
		s.Say(line)
	}
}

func (s *supervision) handle(got syscall.Signal) {
	switch got {
	case unix.SIGINT, unix.SIGTERM, unix.SIGHUP:
		s.cancel(got)
	case unix.SIGTSTP:
		s.suspend()
	default:
		s.signal(got)
	}
}

// cleanTime is how long podman may take to tidy up after its containers: what is
// left of the two seconds in which the prompt is to be back.
const cleanTime = 1500 * time.Millisecond

// cancel ends the build: its RUN containers first, and the command only if it then
// does not end by itself. The second time it ends all at once. A command that is
// not supervised gets the signal, as it would have without us.
func (s *supervision) cancel(by syscall.Signal) {
	switch {
	case s.build == "":
		s.passOn(by)
	case s.by == 0:
		s.by, s.since = by, time.Now()
		s.stopped = make(chan error, 1)
		go func(answer chan<- error) { answer <- s.stop() }(s.stopped)
	default:
		// The daemon ends what is then left in the scope.
		_ = s.process.Kill()
		s.signal(unix.SIGKILL)
	}
}

// passOn gives a command the signal that is to end it: to a podman that builds the first time
// the one by which it tidies up after its step, if it would hear that.
func (s *supervision) passOn(by syscall.Signal) {
	if (by == unix.SIGINT || by == unix.SIGTERM) && s.instead == 0 && tidiesByHangup(s.Command) && !signal.Ignored(unix.SIGHUP) {
		s.instead = by
		by = unix.SIGHUP
	}
	s.signal(by)
}

// tidiesByHangup reports whether a command is a podman that does nothing but build.
func tidiesByHangup(argv []string) bool {
	return len(argv) > 0 && podman.TidiesByHangup(argv[0]) && podman.ReadCommand("podman", argv).Purpose == podman.Builds
}

// stopTime bounds the wait for a build's end: the daemon's whole ladder.
const stopTime = 8 * time.Second

// stop asks the daemon for the build's end, and returns when it has come. A daemon
// that is just being restarted is asked again.
func (s *supervision) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	for attempt := 0; ; attempt++ {
		c := client.New(s.Socket)
		_, err := c.Stop(ctx, s.build, api.StopRequest{OwnerTimeout: new(api.Seconds(cleanTime))})
		c.Close()
		var refusal *api.Error
		if err == nil || errors.As(err, &refusal) && refusal.Code == api.CodeNotFound {
			return nil
		}
		if attempt == 2 || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// finishCancel waits until nothing of a cancelled build is left.
func (s *supervision) finishCancel() {
	for s.stopped != nil {
		select {
		case err := <-s.stopped:
			if err != nil {
				s.Say("cannot tell whether all of the build has ended: " + err.Error())
			}
			return
		case <-s.signals: // all has been told to end
		case <-s.terminal.keys():
		}
	}
}

// suspend stops the command and ourselves until a shell lets us go on. The command's
// session has no shell that could let it go on, so its own SIGTSTP would not stop it.
// Ours does: it has its default action as long as nobody asks to be notified of it.
func (s *supervision) suspend() {
	s.signal(unix.SIGSTOP)
	s.terminal.leave()
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	_ = unix.Kill(0, unix.SIGTSTP) // as the terminal would have: the whole pipeline
	select {
	case <-resumed:
	case <-time.After(100 * time.Millisecond): // nobody could let us go on: so the kernel did not stop us
	}
	s.terminal.enter()
	s.signal(unix.SIGCONT)
}

// status is the exit status for a command's end, as a shell has it.
func status(state *os.ProcessState) int {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}
