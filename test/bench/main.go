// Command bench measures what buildwatch costs and how fast it is, against the
// least that the same machine can do in the same run. It runs as root inside the
// test machine (make bench); it ends builds that it has started, and nothing
// else. It asserts nothing: times on a shared machine are to be compared, side
// by side, not to be relied on.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if role, ok := os.LookupEnv(roleEnv); ok {
		exit(play(role))
	}
	rounds := flag.Int("rounds", 40, "cancels of each kind")
	passes := flag.Int("passes", 500, "calls of the runtime that are passed through, of each kind")
	creates := flag.Int("creates", 100, "containers that are created, of each kind")
	storage := flag.Int("storage", 0, "measure nothing but what so many cancels in a row leave in storage")
	pairs := flag.Int("next-build", 0, "measure nothing but the build after a cancel, in so many pairs with reclaim and without")
	apis := flag.Int("api", 0, "measure nothing but how soon API builds end with their clients, so often each")
	scale := flag.Int("scale", 0, "measure nothing but what so many builds at once cost, and how fast they are ended")
	others := flag.Int("peers", 0, "measure nothing but how builds end with each of podman, buildwatch and Docker, cancelled so often")
	before := flag.String("before", "", "a directory with other programs, which are measured in turn with those that are installed")
	flag.Parse()
	if err := inMachine(); err != nil {
		exit(err)
	}
	switch {
	case *storage > 0 && *pairs > 0:
		exit(errors.Join(measureStorage(*storage), compareNextBuild(*pairs)))
	case *storage > 0:
		exit(measureStorage(*storage))
	case *pairs > 0:
		exit(compareNextBuild(*pairs))
	}
	daemons, err := daemonsOf(*before)
	if err != nil {
		exit(err)
	}
	if *others > 0 {
		exit(measurePeers(*others))
	}
	if *scale > 0 {
		exit(errors.Join(
			measureScale(*scale, 20), afterAll(),
			measureOneScope(10*(*scale)), afterAll(),
			measureNeighbour(*scale, 100), afterAll(),
			measureRate(10*time.Second),
		))
	}
	if *apis > 0 {
		exit(measureAPI(*apis, daemons))
	}
	exit(errors.Join(run(*rounds, *passes, *creates), measureAPI(max(1, *rounds/4), daemons)))
}

func inMachine() error {
	if _, err := os.Stat(busyboxes); err != nil || os.Getuid() != 0 {
		return fmt.Errorf("runs in the test machine only: use `make bench`")
	}
	return nil
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(rounds, passes, creates int) error {
	cancels, err := measureCancels(rounds)
	if err != nil {
		return err
	}
	passTimes, passCPU, err := measurePasses(passes)
	if err != nil {
		return err
	}
	createTimes, err := measureCreates(creates)
	if err != nil {
		return err
	}
	fmt.Printf("\nFrom the owner's death to the last of five emulated processes gone, %d cancels each, taken in turn:\n\n", rounds)
	printTable(cancels.fromDeath)
	fmt.Printf("\nThe same from the client's signal, podman's own end included:\n\n")
	printTable(cancels.fromSignal)
	fmt.Printf("\nOne call that is passed through (--version), %d each, taken in turn:\n\n", passes)
	printTable(passTimes)
	fmt.Printf("\nThe CPU time of the same:\n\n")
	printTable(passCPU)
	fmt.Printf("\nOne create of a container, %d each, taken in turn:\n\n", creates)
	printTable(createTimes)
	return nil
}
