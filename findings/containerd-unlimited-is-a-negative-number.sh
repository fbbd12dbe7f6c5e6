#!/bin/bash
# github.com/containerd/cgroups/v3 v3.1.3, package cgroup2; github.com/opencontainers/runtime-spec v1.3.0
#
# ToResources, which makes of an OCI configuration what is written into cgroup v2, makes negative numbers of its -1, "no limit":
# a memory limit of 1 GiB with unlimited swap becomes memory.swap.max = -1073741825, a CPU quota of -1 becomes cpu.max = "-1
# 100000". The kernel's word for it is "max"; these it refuses. The number of processes, -1 as well, does become "max".
#
# One would have guessed that the conversion knows the specification's "unlimited", all the more as it does in one place of three.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/containerd/cgroups/v3@v3.1.3 github.com/opencontainers/runtime-spec@v1.3.0
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/containerd/cgroups/v3/cgroup2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func main() {
	unlimited, memory, period := int64(-1), int64(1<<30), uint64(100_000)
	resources := cgroup2.ToResources(&specs.LinuxResources{
		CPU:    &specs.LinuxCPU{Quota: &unlimited, Period: &period},
		Memory: &specs.LinuxMemory{Limit: &memory, Swap: &unlimited},
		Pids:   &specs.LinuxPids{Limit: &unlimited},
	})
	for _, value := range resources.Values() {
		fmt.Println(value)
	}
}
GO
gorun >"$work/seen"
{ read -r cpu; read -r swap; read -r memory; read -r pids; } <"$work/seen"
claim "CPU" "{cpu.max -1 100000}" "$cpu"
claim "swap beside 1 GiB of memory" "{memory.swap.max -1073741825} {memory.max 1073741824}" "$swap $memory"
claim "processes" "{pids.max max}" "$pids"
