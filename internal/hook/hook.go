// Package hook has systemd start the unit of the administrator's choice when a build is
// gone, an instance for each, and puts what is known of the build where that unit reads it.
// It runs nothing itself, waits for nothing, and decides nothing about builds: what comes of
// the unit is the unit's own affair.
package hook

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
	"github.com/buildwatch/buildwatch/internal/share"
)

// A user who ends builds as fast as they can must neither fill the memory nor keep others'
// units from being started.
var (
	// waits is how many builds may wait for their unit. Those beyond it have none.
	waits = share.Bounds{User: 16, Users: 64, Spare: 16, Few: 4, Root: 64}
	// turns is how many units are started at the same time: users take turns.
	turns = share.Bounds{User: 1, Users: 1, Root: 1}
)

const (
	// kept is how many files of facts are there at the same time; a unit has that long to
	// begin.
	kept = 256
	// pause is between two starts.
	pause = 50 * time.Millisecond
	// startLimit is how long systemd may take to queue a start.
	startLimit = 10 * time.Second
)

// prefix is that of the variables, as in the journal.
const prefix = "BUILDWATCH_"

// Hook starts units. Gone may be called at once with Run, and never waits.
type Hook struct {
	template string
	dir      string
	start    func(ctx context.Context, unit string) error
	account  func(uid uint32) share.Account
	log      *logrus.Entry

	places *share.Pool
	turns  *share.Pool
	queue  chan ended // has room for all who have a place

	mu sync.Mutex // lock order: 7
	// +checklocks:mu
	files []string // the oldest first
}

// ended is a build that waits for its unit.
type ended struct {
	api.Ended
	account share.Account
	release func()
}

// New returns a hook that starts instances of the template, such as
// "notify-build@.service"; none where it is empty. The facts are written below dir, which
// may be "" for nowhere. account says which UIDs are one user.
func New(template, dir string, start func(ctx context.Context, unit string) error, account func(uid uint32) share.Account, log *logrus.Entry) *Hook {
	return &Hook{
		template: template, dir: dir, start: start, account: account, log: log,
		places: share.NewPool(waits), turns: share.NewPool(turns), queue: make(chan ended, waits.Users+waits.Root),
	}
}

// Gone has the unit started for a build.
func (h *Hook) Gone(e api.Ended) {
	if h.template == "" {
		return
	}
	account := h.account(e.User.UID)
	release, ok := h.places.Take(account)
	if !ok {
		h.log.Debugf("Build %s: too many of its user's builds end at once: no unit is started for it", e.ID)
		return
	}
	h.queue <- ended{e, account, release}
}

// Run starts units until the context ends.
func (h *Hook) Run(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for {
		select {
		case e := <-h.queue:
			waiting.Go(func() { h.serve(ctx, e) })
		case <-ctx.Done():
			return
		}
	}
}

// serve starts a build's unit, when it is its user's turn.
func (h *Hook) serve(ctx context.Context, e ended) {
	defer e.release()
	done, err := h.turns.Wait(ctx, e.account)
	if err != nil {
		return
	}
	defer done()
	if err := h.begin(ctx, e.Ended); err != nil && ctx.Err() == nil {
		h.log.WithError(err).Warnf("Build %s: %s is not started", e.ID, h.unit(e.Ended))
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// unit is the template's instance for a build.
func (h *Hook) unit(e api.Ended) string { return strings.Replace(h.template, "@.", "@"+e.ID+".", 1) }

func (h *Hook) begin(ctx context.Context, e api.Ended) error {
	if err := h.write(e); err != nil {
		return fmt.Errorf("write the facts: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("systemd does not answer within %s", startLimit))
	defer cancel()
	return h.start(ctx, h.unit(e))
}

// write writes the file of facts, whole or not at all, and removes the oldest of many.
func (h *Hook) write(e api.Ended) error {
	if h.dir == "" {
		return nil
	}
	file := filepath.Join(h.dir, e.ID)
	if err := os.WriteFile(file+".tmp", environment(e), 0o600); err != nil {
		return err
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return err
	}
	if oldest := h.keep(file); oldest != "" {
		_ = os.Remove(oldest)
	}
	return nil
}

// keep takes up one more file, and returns the one that is now too many.
func (h *Hook) keep(file string) (oldest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files = append(h.files, file)
	if len(h.files) > kept {
		oldest, h.files = h.files[0], h.files[1:]
	}
	return oldest
}

// plain is a value that means itself in every file of variables, and in every shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9 _.,:=+@%/()-]*$`)

// environment is what EnvironmentFile= of a unit reads. A value that a user has chosen and
// that could mean something else there is left out.
//
// Source: systemd.exec(5), EnvironmentFile=.
func environment(e api.Ended) []byte {
	var b bytes.Buffer
	facts := history.Fields(e)
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if value := facts[name]; plain.MatchString(value) {
			fmt.Fprintf(&b, "%s%s=\"%s\"\n", prefix, name, value)
		}
	}
	return b.Bytes()
}
