package watch

import (
	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// Granter says which limits the administrator gives the builds of a user that were
// started in a way.
type Granter func(user api.User, mode api.Mode) []limits.Value

// granted are the limits that the administrator gives the build.
func (b *build) granted() []limits.Value {
	if b.watcher.grant == nil {
		return nil
	}
	return b.watcher.grant(b.user, b.record.Mode)
}
