package daemon

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/features"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// A host is what was found of the kernel and of systemd. It is safe for concurrent use.
type host struct{ found atomic.Pointer[api.Host] }

// systemdLimit is how long systemd may take to say what it is.
const systemdLimit = 30 * time.Second

// find tries everything once. Nothing waits for it.
func (h *host) find(ctx context.Context, manager *scopes.Manager) {
	kernel := api.Host{Kernel: features.Release(), Features: features.Kernel(scopes.CgroupMount)}
	h.found.Store(&kernel)
	ctx, cancel := context.WithTimeout(ctx, systemdLimit)
	defer cancel()
	about, err := manager.About(ctx)
	if err != nil {
		return // its part stays away
	}
	all := kernel
	all.Systemd = about.Version
	all.Features = append(all.Features[:len(all.Features):len(all.Features)],
		features.Try(api.FeatureOOMPolicy, func() error { return about.OOMPolicy }))
	h.found.Store(&all)
}
