// Package daemon puts buildwatchd together: it reads the configuration, opens
// the sockets, starts the parts and stops them again. It holds no logic of its
// own beyond that order, and no state that the parts would need after it.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/hook"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/metrics"
	"github.com/buildwatch/buildwatch/internal/observe"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/placement"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/reclaim"
	"github.com/buildwatch/buildwatch/internal/request"
	"github.com/buildwatch/buildwatch/internal/runtimes"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/stall"
	"github.com/buildwatch/buildwatch/internal/survivors"
	"github.com/buildwatch/buildwatch/internal/version"
	"github.com/buildwatch/buildwatch/internal/watch"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// Names of the helper programs in libexec/buildwatch.
const (
	wrapperName = "buildwatch-runtime"
	keeperName  = "buildwatch-keeper"
	reclaimName = "buildwatch-reclaim"
)

// ctlName is the program whose processes may ask to become a build's command. It is
// installed beside the daemon.
const ctlName = "buildwatchctl"

// placementTime is how long putting a RUN container into its scope may take: the answer
// must reach the wrapper before that gives up.
const placementTime = wire.Patience - 150*time.Millisecond

// connections is how many connections all users but root may have together on
// each socket, and root as many.
const connections = 1024

// Run runs the daemon until the context ends. Both errors are nil after an
// orderly stop; builds and their scopes live on either way. cannot is what is
// missing on this host: nothing was done then, and to start again won't help. It
// takes the sockets over.
func Run(ctx context.Context, settings *settings, sockets sockets, log *logging.Log) (cannot, err error) {
	defer sockets.close()
	p, err := open(settings, log)
	if err != nil {
		return err, nil
	}
	defer p.close()
	p.takeOver()
	return nil, p.serve(ctx, sockets)
}

// parts are those of one run of the daemon.
type parts struct {
	settings *settings
	cfg      config.InForce // that of this run
	libexec  string
	log      *logging.Log
	entries  *logrus.Entry // the same, for parts that ask for no more

	reader    *proc.Reader
	hung      *stall.Reader
	counters  *metrics.Metrics
	manager   *scopes.Manager
	reclaimer *reclaim.Reclaimer
	onEnd     *hook.Hook
	finder    *owners.Finder
	watcher   *watch.Watcher
	follower  *observe.Follower

	ready atomic.Bool
	here  host
}

// open makes the parts, of which none does anything yet. An error is what is missing on this host.
func open(settings *settings, log *logging.Log) (*parts, error) {
	libexec, err := libexecDir()
	if err != nil {
		return nil, err
	}
	cfg := settings.current()
	p := &parts{settings: settings, cfg: cfg, libexec: libexec, log: log, entries: logrus.NewEntry(log.Logger), reader: proc.NewReader()}
	log.CountBy(func(uid uint32) uint32 { return p.reader.OfUID(uid).UID })
	p.hung = stall.NewReader(p.reader.Accounts)
	look, err := survivors.New(cfg.Ladder.Aborts(), p.reader)
	if err != nil {
		return nil, err
	}
	// The parts are counted from the first, so the counters come before all.
	p.counters = metrics.New(p.counted())
	if p.manager, err = scopes.Open(filepath.Join(libexec, keeperName), p.reader.Accounts, p.counters); err != nil {
		return nil, err
	}
	p.reclaimer = reclaim.New(reclaim.Options{
		Mode:     reclaimMode(cfg.Config),
		Dir:      settings.kept,
		Run:      reclaim.ByHelper(helpers(p.manager, filepath.Join(libexec, reclaimName))),
		Accounts: p.reader.Accounts,
		Reader:   p.reader,
		Metrics:  p.counters,
		Told: func(d reclaim.Done) {
			chronicle{log: log}.Reclaimed(d)
			p.watcher.Reclaimed(d.Build, d.UID, reclaimed(d.Sum))
		},
		Log: p.entries,
	})
	// RUNTIME_DIRECTORY: systemd.exec(5).
	p.onEnd = hook.New(cfg.OnEnd.Start, os.Getenv("RUNTIME_DIRECTORY"), p.manager.StartUnit, p.reader.OfUID, p.entries)
	p.finder = owners.New(request.NewWatcher(p.reader), p.reader, log)
	p.watcher = watch.New(watch.Parts{
		Host:     acting{p.manager, cfg.Limits.Builds},
		Owners:   p.finder,
		Examiner: examiner{look},
		Storage:  storage{p.reclaimer},
		Metrics:  p.counters,
		History:  chronicle{log, p.counters, p.onEnd},
		BuildLog: log.OfBuild,
		Log:      p.entries,
	}, watch.Timeouts(timeouts(cfg.Ladder)), policy(cfg.Policy))
	p.follower = newFollower(p.watcher, p.finder, storage{p.reclaimer}, p.reader, log)
	return p, nil
}

// counted is what the metrics are told of when they are read.
func (p *parts) counted() metrics.Options {
	return metrics.Options{
		Ready:           p.ready.Load,
		Version:         version.Version,
		Revision:        version.Revision(),
		Builds:          func() []api.BuildHead { return p.watcher.Heads() },
		Survivors:       func() map[api.WaitKind]int { return p.watcher.Survivors() },
		Usage:           func() metrics.Usage { return metrics.Usage(p.watcher.Usage()) },
		Swept:           func() time.Time { return p.follower.Swept() },
		Abandoned:       p.cfg.Policy.Abandoned,
		Stalled:         p.cfg.Stalled.Policy,
		DBusMethods:     words(scopes.Methods()),
		APIVerbs:        control.Verbs(),
		HungReads:       func() int { return p.reader.InFlight() + p.hung.InFlight() },
		ConfigGood:      func() bool { return p.settings.problem() == "" },
		ConfigLoaded:    p.settings.loadedAt,
		PlacementCauses: words(placement.Causes()),
	}
}

func (p *parts) close() {
	p.watcher.Close()
	p.reclaimer.Close()
	p.manager.Close()
}

// takeOver goes on where an earlier daemon has stopped.
func (p *parts) takeOver() {
	adopt(p.manager, p.watcher, p.log)
	p.reclaimer.Begin()
	p.watcher.WatchStalled(stalled(p.cfg.Stalled), func(uid uint32) watch.Hang { return stall.NewCase(p.hung, uid) })
}

// serve runs the parts until the context ends, or one that the daemon can't do without fails.
func (p *parts) serve(ctx context.Context, sockets sockets) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	defer running.Wait()
	needed := func(name string, serve func() error) {
		running.Go(func() {
			if err := serve(); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	needed("wrapper's socket", func() error { return p.placing().Serve(ctx, sockets.runtime) })
	needed("control socket", func() error { return p.answering().Serve(ctx, sockets.control) })
	running.Go(func() { p.here.find(ctx, p.manager) })
	running.Go(func() {
		// Those that come through the wrapper are supervised without it.
		if err := p.follower.Run(ctx); err != nil {
			p.log.WithError(err).Error("Builds that do not come through the wrapper are not seen")
		}
	})
	running.Go(func() { serveMetrics(ctx, p.cfg.Metrics, sockets, p.counters, webConfigPause, p.log) })
	running.Go(func() { p.onEnd.Run(ctx) })
	p.ready.Store(true)
	running.Go(func() { notify(ctx, p.watcher, p.settings, p.log) })
	p.log.Infof("buildwatchd %s watches this host's builds", version.Version)
	for _, bypass := range runtimes.ThisHost(p.libexec).Bypasses() {
		p.log.Warn(bypass)
	}

	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, errReload) {
		return cause
	}
	return nil
}

// placing answers the wrapper.
func (p *parts) placing() *placement.Server {
	return placement.New(placement.Options{
		Places:   places(p.watcher),
		Wrapper:  filepath.Join(p.libexec, wrapperName),
		Limit:    placementTime,
		Limiter:  p.limiter(),
		Metrics:  placementMetrics{p.counters},
		Unplaced: p.follower.Expect,
		Log:      p.log,
	})
}

// answering is the control API.
func (p *parts) answering() *control.Server {
	return control.New(control.Options{
		Builds:  p.watcher,
		Run:     runner(p.watcher, filepath.Join(p.libexec, "..", "..", "bin", ctlName)),
		Info:    about(p.settings, &p.here, p.log.InJournal()),
		Config:  p.settings.inForceNow,
		Log:     p.log,
		Limiter: p.limiter(),
		Count:   p.counters.APIRequest,
	})
}

// limiter bounds the connections to one socket.
func (p *parts) limiter() *peer.Limiter {
	l := peer.NewLimiter(p.cfg.Limits.ConnectionsPerUser, connections)
	l.Accounts = p.reader.Accounts
	return l
}

// about is what the daemon says of itself.
func about(settings *settings, here *host, inJournal bool) func() api.Info {
	started := time.Now()
	return func() api.Info {
		return api.Info{
			Version: version.Version, StartedAt: started, Host: here.found.Load(),
			ConfigSource: string(settings.current().Source), ConfigProblem: settings.problem(), NoJournal: !inJournal,
		}
	}
}

// libexecDir is where the helper programs are: beside the directory that the
// daemon itself is installed in.
func libexecDir() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(exe), "..", "libexec", "buildwatch")
	if _, err := os.Stat(filepath.Join(dir, keeperName)); err != nil {
		return "", fmt.Errorf("the helper programs of %s: %w", exe, err)
	}
	return dir, nil
}

// adopt takes over what an earlier daemon has left.
func adopt(manager *scopes.Manager, watcher *watch.Watcher, log logrus.FieldLogger) {
	for _, s := range manager.Find() {
		record, err := s.Record()
		if err == nil {
			err = watcher.Adopt(s, record)
		}
		if err != nil && !s.DiscardEmpty() && !discardUnfinished(s) {
			// Whose it is can't be told, so nothing is done to it. It has a keeper
			// that ends it.
			log.WithError(err).WithField(logging.FieldUnit, s.Unit()).Errorf("Scope %s is left alone", s.Unit())
			s.Close()
		}
	}
}

// discardUnfinished is Scope.DiscardUnfinished for the time that systemd may take.
func discardUnfinished(s *scopes.Scope) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.DiscardUnfinished(ctx)
}

func places(watcher *watch.Watcher) placement.Places {
	return func(ctx context.Context, caller owners.Caller, container watch.Container) (placement.Place, error) {
		place, err := watcher.Prepare(ctx, caller, container)
		if err != nil {
			return nil, err
		}
		return place, nil
	}
}

func timeouts(l config.Ladder) lifecycle.Timeouts {
	return lifecycle.Times(l.KillTimeout, l.OwnerTimeout, l.StopTimeout)
}

func stalled(s config.Stalled) watch.Stalled {
	rules := watch.Stalled{After: s.After}
	if s.Kills() {
		rules.KillAfter = s.KillAfter
	}
	return rules
}

func policy(p config.Policy) watch.Policy {
	return watch.Policy{Report: p.Abandoned == config.AbandonedReport, MaxRuntime: p.MaxRuntime}
}

type placementMetrics struct{ *metrics.Metrics }

func (o placementMetrics) Placement(took time.Duration, cause placement.Cause) {
	o.Metrics.Placement(took, string(cause))
}

// words turns the values of a closed set into plain strings.
func words[T ~string](values []T) []string {
	plain := make([]string, len(values))
	for i, value := range values {
		plain[i] = string(value)
	}
	return plain
}
