// Command chaos builds, cancels and breaks at random, and checks meanwhile that both laws
// hold: of a build that was cancelled nothing is left, and every other one ends well and
// with all of its content. It runs as root inside the test machine (make chaos), and ends
// builds that it has started, the daemon, and nothing else.
//
// What is done, and in which order, comes from the seed alone; when exactly it is done does
// not, since the machine takes its time.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

func main() {
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "what the choices are made from")
	lasts := flag.Duration("for", time.Minute, "how long to begin new builds")
	workers := flag.Int("workers", 3, "builds at a time")
	flag.Parse()
	violations, err := run(*seed, *lasts, *workers)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	case violations > 0:
		os.Exit(1)
	}
}

// run returns how often a law was broken.
func run(seed uint64, lasts time.Duration, workers int) (violations int, err error) {
	if _, err := os.Stat(busyboxes); err != nil || os.Getuid() != 0 {
		return 0, fmt.Errorf("runs in the test machine only: use `make chaos`")
	}
	w, err := newWorld()
	if err != nil {
		return 0, err
	}
	defer w.close()
	fmt.Printf("seed %d, %v, %d builds at a time\n", seed, lasts, workers)
	before, err := w.settle()
	if err != nil {
		return 0, err
	}
	over := time.After(lasts)
	stop := make(chan struct{})
	var building, breaking sync.WaitGroup
	for worker := range workers {
		choose := rand.New(rand.NewPCG(seed, uint64(worker)))
		building.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					w.build(choose, fmt.Sprintf("%d-%d", worker, n))
				}
			}
		})
	}
	breaking.Go(func() { w.breakThings(rand.New(rand.NewPCG(seed, 1<<32)), stop) })
	<-over
	close(stop)
	breaking.Wait()
	building.Wait()
	after, err := w.settle()
	if err != nil {
		return 0, err
	}
	w.compare(before, after)
	fmt.Println(w.summary())
	return w.violations, nil
}
