#!/bin/bash
# github.com/opencontainers/cgroups v0.0.2 and v0.0.3 (what runc makes of --cpu-shares on cgroup v2)
#
# From v0.0.2 to v0.0.3 ConvertCPUSharesToCgroupV2Value gives other weights for the same shares, and no longer
# proportional ones: 512 shares beside 1024 had weights 20 and 39, half as many, and have 59 and 100.
# 102 beside 1024, a tenth, has become a sixth. A container with the 1024 shares that cgroup v1 began
# with weighed 39 beside a systemd service's 100, and weighs the same now.
#
# One would have guessed that a third-digit release changes no number that the scheduler uses, and that
# "shares" are in proportion: whoever gave one container twice the shares of another
# to have twice the CPU has 1.7 times, without a word in the log.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
weights() { # weights VERSION
	gomod "github.com/opencontainers/cgroups@$1"
	cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/opencontainers/cgroups"
)

func main() {
	for _, shares := range []uint64{102, 512, 1024, 2048} {
		fmt.Print(shares, ":", cgroups.ConvertCPUSharesToCgroupV2Value(shares), " ")
	}
	fmt.Println()
}
GO
	gorun >"$work/weights"
	rm -r "$work/go"
	claim "shares:weight in $1" "$2" "$(sed 's/ $//' "$work/weights")"
}
weights v0.0.2 "102:4 512:20 1024:39 2048:79"
weights v0.0.3 "102:17 512:59 1024:100 2048:174"
