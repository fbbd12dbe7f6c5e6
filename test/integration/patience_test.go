//go:build integration && !vm

package integration

import "time"

// long is far longer than anything here takes; only a hang reaches it.
const long = 30 * time.Second
