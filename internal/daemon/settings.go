package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/logging"
)

// errReload ends a run of the daemon that another follows, with a new configuration.
var errReload = errors.New("the configuration is loaded anew")

// settings are the configuration in force, and what is wrong with the files that it
// should come from. They are safe for concurrent use.
type settings struct {
	root string // below which the files are: "" but in tests
	kept string // directory of the last good one, or ""
	log  *logging.Log

	mu      sync.Mutex // lock order: 1
	inForce config.InForce
	loaded  time.Time     // when files that were good were last taken
	reads   int           // how often they were read
	changed chan struct{} // holds a token when there is news of them
}

// choose takes the configuration that the daemon starts with.
func choose(root, kept string, log *logging.Log) *settings {
	s := &settings{root: root, kept: kept, log: log, changed: make(chan struct{}, 1)}
	s.inForce, s.reads = config.Choose(root, kept), 1
	s.adopt()
	return s
}

// adopt makes the most of a configuration that has just come into force.
func (s *settings) adopt() {
	if err := s.log.SetLevelName(s.inForce.Log.Level); err != nil {
		s.log.WithError(err).Error("The level of the log stays")
	}
	if s.inForce.Problems != nil {
		s.logProblems(s.inForce.Problems)
		s.log.Errorf("The configuration is bad: %s", standIn(s.inForce.Source))
		return
	}
	s.loaded = time.Now()
	if s.kept == "" {
		return
	}
	if err := s.inForce.Keep(s.kept); err != nil {
		s.log.WithError(err).Error("The configuration is good, but should a file of it become bad, it can't be gone back to")
	}
}

func standIn(source config.Source) string {
	if source == config.SourceCautious {
		return "no good one was kept, so builds are supervised, and none is ended but on its user's word"
	}
	return "the last good one is in force"
}

func (s *settings) logProblems(problems error) {
	for line := range strings.Lines(problems.Error()) {
		s.log.Error(strings.TrimSuffix(line, "\n"))
	}
}

// reload reads the files again, and reports whether something is to be done otherwise
// now. A bad one changes nothing, and neither does one that says the same as before.
func (s *settings) reload() bool {
	next, err := config.Load(s.root)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tell()
	s.reads++
	if err != nil {
		s.inForce.Problems = err
		s.logProblems(err)
		s.log.Error("The configuration is bad, and was not loaded: that of before stays in force")
		return false
	}
	before := s.inForce
	s.inForce = config.InForce{Config: next, Source: config.SourceFiles}
	s.adopt()
	return !before.SaysTheSame(next)
}

func (s *settings) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// loadedAt is when the configuration was last taken from files that were good.
func (s *settings) loadedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded
}

// inForceNow is what the control API shows of it.
func (s *settings) inForceNow() api.Config {
	problem := s.problem()
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := api.Config{Source: string(s.inForce.Source), Problem: problem, Reads: s.reads, Values: s.inForce.Values()}
	if when := s.loaded; !when.IsZero() && s.inForce.Source == config.SourceFiles {
		shown.LoadedAt = &when
	}
	return shown
}

func (s *settings) current() config.InForce {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inForce
}

// problem says what is wrong with the files, and what is in force; "" for nothing.
func (s *settings) problem() string {
	now := s.current()
	if now.Problems == nil {
		return ""
	}
	first, more, _ := strings.Cut(now.Problems.Error(), "\n")
	if more != "" {
		first += fmt.Sprintf(" (and %d more)", strings.Count(more, "\n")+1)
	}
	if now.Source == config.SourceFiles {
		return "the configuration is bad, and that of before is in force: " + first
	}
	return "the configuration is bad, " + standIn(now.Source) + ": " + first
}

// reloading cancels run with errReload when a hangup has brought a new configuration.
// That it is over is told by notify, when all parts are there.
func (s *settings) reloading(ctx context.Context, hangup <-chan os.Signal, run context.CancelCauseFunc) {
	for {
		select {
		case <-hangup:
			sayReloading()
			if s.reload() {
				run(errReload)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
