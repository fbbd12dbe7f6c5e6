//go:build integration && !vm

package integration

import "time"

// long is far longer than anything here takes; only a hang reaches it.
const long = 30 * time.Second

// slower is how much slower than usual the host of this machine is.
const slower = 1
