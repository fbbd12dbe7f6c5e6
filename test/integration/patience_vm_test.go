//go:build integration && vm

package integration

import "time"

// long is far longer than anything takes in an emulated machine, where emulated builds are
// emulated twice.
const long = 5 * time.Minute

// slower is how much slower than a container an emulated machine is.
const slower = 20
