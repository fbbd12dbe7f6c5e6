#!/bin/bash
# github.com/containerd/cgroups/v3 v3.1.3, package cgroup2
#
# Stat of a cgroup that has been removed, or never was, returns metrics and no error: no CPU time, no memory, no process, and 0
# for each limit. A container that has ended looks like one that idles, and one that was misspelled, too. Load of it succeeds as
# well; Procs, Freeze and Kill of the same say that there is no such file.
#
# One would have guessed an error from the first call that looks: a counter of CPU time that falls to 0 is a restart for
# whoever computes rates of it.
#
# Why: each file that is missing is taken for a controller that is not enabled.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/containerd/cgroups/v3@v3.1.3
cgroup
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/containerd/cgroups/v3/cgroup2/stats"
)

func main() {
	path := os.Args[1] // of a cgroup without processes
	manager, err := cgroup2.Load("/"+filepath.Base(path), cgroup2.WithMountpoint(filepath.Dir(path)))
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(path+"/cgroup.procs", []byte("0"), 0); err != nil {
		panic(err)
	}
	metrics := new(stats.Metrics)
	for metrics.GetCPU().GetUsageUsec() < 10_000 { // to look takes time, too
		if metrics, err = manager.Stat(); err != nil {
			panic(err)
		}
	}
	fmt.Println("used")
	if err := os.WriteFile(filepath.Dir(path)+"/cgroup.procs", []byte("0"), 0); err != nil {
		panic(err)
	}
	if err := os.Remove(path); err != nil {
		panic(err)
	}
	metrics, err = manager.Stat()
	fmt.Println(err, metrics.CPU.UsageUsec)
	_, err = manager.Procs(true)
	fmt.Println(errors.Is(err, fs.ErrNotExist), errors.Is(manager.Freeze(), fs.ErrNotExist))
	_, err = cgroup2.Load("/misspelled", cgroup2.WithMountpoint(filepath.Dir(path)))
	fmt.Println(err)
}
GO
gorun "$cg" >"$work/seen" 2>"$work/log"
{ read -r there; read -r removed; read -r others; read -r load; } <"$work/seen"
claim "CPU time of one that is there" used "$there"
claim "Stat after it was removed: error, CPU time" "<nil> 0" "$removed"
claim "Procs and Freeze then: no such file" "true true" "$others"
claim "Load of one that never was" "<nil>" "$load"
