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
	cfg := settings.current()
	libexec, err := libexecDir()
	if err != nil {
		return err, nil
	}
	// The parts are counted from the first, so the counters come before all.
	var watcher *watch.Watcher
	var follower *observe.Follower
	var ready atomic.Bool
	reader := proc.NewReader()
	log.CountBy(func(uid uint32) uint32 { return reader.OfUID(uid).UID })
	hung := stall.NewReader(reader.Accounts)
	counters := metrics.New(metrics.Options{
		Ready:     ready.Load,
		Version:   version.Version,
		Revision:  version.Revision(),
		Builds:    func() []api.BuildHead { return watcher.Heads() },
		Survivors: func() map[api.WaitKind]int { return watcher.Survivors() },
		Usage:     func() metrics.Usage { return metrics.Usage(watcher.Usage()) },
		Swept:     func() time.Time { return follower.Swept() },
		Abandoned: cfg.Policy.Abandoned, Stalled: cfg.Stalled.Policy,
		DBusMethods: words(scopes.Methods()),
		APIVerbs:    control.Verbs(),
		HungReads:   func() int { return reader.InFlight() + hung.InFlight() },
		ConfigGood:  func() bool { return settings.problem() == "" },

		ConfigLoaded: settings.loadedAt,

		PlacementCauses: words(placement.Causes()),
	})
	manager, err := scopes.Open(filepath.Join(libexec, keeperName), reader.Accounts, counters)
	if err != nil {
		return err, nil
	}
	defer manager.Close()
	look, err := survivors.New(cfg.Ladder.Aborts(), reader)
	if err != nil {
		return err, nil
	}
	reclaimer := reclaim.New(reclaim.Options{
		Mode:     reclaimMode(cfg.Config),
		Dir:      settings.kept,
		Run:      reclaim.ByHelper(helpers(manager, filepath.Join(libexec, reclaimName))),
		Accounts: reader.Accounts,
		Reader:   reader,
		Metrics:  counters,
		Told: func(d reclaim.Done) {
			chronicle{log: log}.Reclaimed(d)
			watcher.Reclaimed(d.Build, d.UID, reclaimed(d.Sum))
		},
		Log: logrus.NewEntry(log.Logger),
	})
	defer reclaimer.Close()
	// RUNTIME_DIRECTORY: systemd.exec(5).
	onEnd := hook.New(cfg.OnEnd.Start, os.Getenv("RUNTIME_DIRECTORY"), manager.StartUnit, logrus.NewEntry(log.Logger))
	finder := owners.New(request.NewWatcher(reader), reader, log)
	watcher = watch.New(watch.Parts{
		Host:     acting{manager, cfg.Limits.Builds},
		Owners:   finder,
		Examiner: examiner{look},
		Storage:  storage{reclaimer},
		Metrics:  counters,
		History:  chronicle{log, counters, onEnd},
		BuildLog: log.OfBuild,
		Log:      logrus.NewEntry(log.Logger),
	}, watch.Timeouts(timeouts(cfg.Ladder)), policy(cfg.Policy))
	defer watcher.Close()
	adopt(manager, watcher, log)
	reclaimer.Begin()
	watcher.WatchStalled(stalled(cfg.Stalled), func(uid uint32) watch.Hang { return stall.NewCase(hung, uid) })

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	defer parts.Wait()
	run := func(name string, serve func() error) {
		parts.Go(func() {
			if err := serve(); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	limiter := func() *peer.Limiter {
		l := peer.NewLimiter(cfg.Limits.ConnectionsPerUser, connections)
		l.Accounts = reader.Accounts
		return l
	}
	var here host
	parts.Go(func() { here.find(ctx, manager) })
	follower = newFollower(watcher, finder, storage{reclaimer}, reader, log)
	run("wrapper's socket", func() error {
		return placement.New(placement.Options{
			Places:   places(watcher),
			Wrapper:  filepath.Join(libexec, wrapperName),
			Limit:    placementTime,
			Limiter:  limiter(),
			Metrics:  placementMetrics{counters},
			Unplaced: follower.Expect,
			Log:      log,
		}).Serve(ctx, sockets.runtime)
	})
	run("control socket", func() error {
		return control.New(control.Options{
			Builds:  watcher,
			Run:     runner(watcher, filepath.Join(libexec, "..", "..", "bin", ctlName)),
			Info:    about(settings, &here, log.InJournal()),
			Config:  settings.inForceNow,
			Log:     log,
			Limiter: limiter(),
			Count:   counters.APIRequest,
		}).Serve(ctx, sockets.control)
	})
	parts.Go(func() {
		// Those that come through the wrapper are supervised without it.
		if err := follower.Run(ctx); err != nil {
			log.WithError(err).Error("Builds that do not come through the wrapper are not seen")
		}
	})
	parts.Go(func() { serveMetrics(ctx, cfg.Metrics, sockets, counters, log) })
	parts.Go(func() { onEnd.Run(ctx) })
	ready.Store(true)
	parts.Go(func() { notify(ctx, watcher, settings, log) })
	log.Infof("buildwatchd %s watches this host's builds", version.Version)
	for _, bypass := range runtimes.ThisHost(libexec).Bypasses() {
		log.Warn(bypass)
	}

	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, errReload) {
		return nil, cause
	}
	return nil, nil
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
		if err != nil && !s.DiscardEmpty() {
			// Whose it is can't be told, so nothing is done to it. It has a keeper
			// that ends it.
			log.WithError(err).WithField(logging.FieldUnit, s.Unit()).Errorf("Scope %s is left alone", s.Unit())
			s.Close()
		}
	}
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
