// Command suites runs the integration tests on one suite after the other, and
// on each of them in several machines at once: a machine takes the next test
// when it has done with one. It prints what go test -json would, for gotestsum
// to show and to count, and for people, in lines that are no JSON, which
// versions were tried and what took longest.
//
// It runs no test itself and touches nothing on the host but through
// build/testmachine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/test/machine"
	"github.com/buildwatch/buildwatch/test/matrix"
)

// What `make integration` has built, as seen from the checkout.
const (
	testmachine = "build/testmachine"
	tests       = "build/integration.test"
)

// first are the tests that take longest. They are begun first: at the end a
// machine has nothing left to do while another is at one of them.
var first = []string{"TestMatrix"}

// once are the tests that are run on the first suite only: what they try, scripts and
// formats, is of this project alone, and the same whatever the release.
var once = regexp.MustCompile(`^(TestPodmanMachine|TestAnImageOf|TestListFormats|TestMistakesAre|TestConfigurationIsChecked|TestStagedInstall|TestHonestSleepers|TestTypoInThe|TestSecondCtrlC)`)

// differing are the tests that are run on a third suite and on those after it, since the
// whole is to be done within the hour: what podman, systemd, the runtimes and qemu may do
// otherwise. Each suite alone is tried with all tests.
var differing = regexp.MustCompile(`^(` + strings.Join([]string{
	// Builds of each kind, and the ways in which they end.
	"TestMatrix$", "TestCancelledBuild", "TestEmulatedBuild", "TestRootlessBuild", "TestRootlessObserved", "TestEachRuntimeAndManager",
	"TestStopEndsALiveBuild", "TestPodmanRunIsNeverTouched", "TestContentIsWhole", "TestNextBuildStarts",
	// The API service.
	"TestRequestsThatLookAlike", "TestAPIBuildIsEnded", "TestOneOfTwoAPIBuilds", "TestDockerBuild", "TestKilledServiceLeaves",
	// Round the wrapper, and the wrapper itself.
	"TestObservedBuildLeaves", "TestRuntimeIsChosen", "TestPodmanThatFoundTheWrapper",
	// systemd: scopes, restarts, limits, units, the journal.
	"TestRunHasTheExitStatus", "TestCtrlCAtRun", "TestReexecutedSystemd", "TestDaemonKilledThen", "TestLimitsOfTheCallersUnit",
	"TestUnitsAreSound", "TestPackageIsInstalled", "TestEndOfABuildIsInTheJournal", "TestVersionTells", "TestUninstallLeaves",
	// What hangs and what survives.
	"TestFrozenBuildIsEnded", "TestProcessWhoseFirstThread", "TestProcessThatWaitsForFUSE",
}, "|") + `)`)

// ofSuite are the tests of the n-th suite.
func ofSuite(names []string, n int) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return n > 0 && once.MatchString(name) || n > 1 && !differing.MatchString(name)
	})
}

// mostAgain is how many tests of a suite are tried again at most, each alone: two machines
// share the host's processors, and some tests take all that there is. One that passes then is
// told of as unstable. More are a fault.
const mostAgain = 4

// slowest is how many of the slowest tests are told.
const slowest = 15

func main() {
	machines := flag.Int("machines", runtime.NumCPU(), "run this many machines at once")
	match := flag.String("run", "", "run the tests whose names match this `regexp` only")
	flag.Parse()
	out := &output{to: os.Stdout}
	if err := run(out, flag.Args(), *machines, *match); err != nil {
		out.note("%v", err)
		os.Exit(1)
	}
}

func run(out *output, suites []string, machines int, match string) error {
	names, err := list(match)
	if err != nil {
		return err
	}
	// A terminal's ^C reaches testmachine itself, which tears its machine down.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM)
	var all []result
	var failed, unstable, uncounted []string
	for n, suite := range suites {
		names := ofSuite(names, n)
		began := time.Now()
		// One suite at a time: binfmt_misc's handlers are one table for all machines of
		// a kernel, and the last that was registered is every machine's qemu.
		results, err := runSuite(out, suite, matrix.Part{Of: n + 1, Parts: len(suites)}, machines, names, interrupted)
		out.note("%s: %d tests in %s", suite, len(results), time.Since(began).Round(time.Second))
		all = append(all, results...)
		if again := toTryAgain(results); err == nil && len(results) == len(names) && len(again) > 0 {
			out.note("%s: tried again, alone: %s", suite, strings.Join(again, ", "))
			var second []result
			second, err = runSuite(out, suite, matrix.Part{Of: n + 1, Parts: len(suites)}, 1, again, interrupted)
			for _, name := range passedOf(second) {
				unstable = append(unstable, suite+" "+name)
			}
			all = append(all, second...)
			results = withSecond(results, second)
		}
		if err == nil && len(results) == len(names) && !slices.ContainsFunc(results, result.failed) {
			continue
		}
		if why := moved(suite, out); why != "" {
			uncounted = append(uncounted, suite+": "+why)
			continue
		}
		failed = append(failed, suite)
	}
	tellSlowest(out, all)
	tellFailed(out, all)
	for _, name := range unstable {
		out.note("UNSTABLE: %s: it has failed beside another machine, and passed alone", name)
	}
	for _, suite := range uncounted {
		out.note("FAILED, AND NOT COUNTED: %s", suite)
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// toTryAgain are the tests that have failed, if these are few.
func toTryAgain(results []result) (names []string) {
	for _, r := range results {
		if r.failed() {
			names = append(names, r.Test)
		}
	}
	if len(names) > mostAgain {
		return nil
	}
	return names
}

func passedOf(results []result) (names []string) {
	for _, r := range results {
		if !r.failed() {
			names = append(names, r.Test)
		}
	}
	return names
}

// withSecond are the results, those of a second try in the place of the first's.
func withSecond(first, second []result) []result {
	all := slices.Clone(first)
	for i, r := range all {
		if at := slices.IndexFunc(second, func(s result) bool { return s.Test == r.Test }); at >= 0 {
			all[i] = second[at]
		}
	}
	return all
}

// runSuite runs the tests on one suite, and returns how those ended that were
// run: fewer than names if no machine could be had, or after an interrupt. The
// error is that of a machine.
func runSuite(out *output, suite string, part matrix.Part, machines int, names []string, interrupted <-chan os.Signal) ([]result, error) {
	queue, results := make(chan string), make(chan result)
	var workers errgroup.Group
	for n := range machines {
		workers.Go(func() error {
			err := (&worker{suite: suite, part: part, n: n, machines: machines, out: out}).work(queue, results)
			if err != nil {
				out.note("%s %d: %v", suite, n, err)
			}
			return err
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- workers.Wait() }()
	var got []result
	for len(names) > 0 {
		select {
		case queue <- names[0]:
			names = names[1:]
		case r := <-results:
			got = append(got, r)
		case sig := <-interrupted:
			out.note("ended by a signal: %v", sig)
			names = nil
		case err := <-ended:
			return got, err
		}
	}
	close(queue) // a machine ends when it has done with what it has
	for {
		select {
		case r := <-results:
			got = append(got, r)
		case err := <-ended:
			return got, err
		}
	}
}

// moved says why it is not this project's failure that the tests of a suite have failed
// whose packages change from week to week; "" where it is.
func moved(suite string, out *output) string {
	changes, err := machine.Moved(context.Background(), suite, out.note)
	return whyUncounted(machine.Moves(suite), changes, err)
}

func whyUncounted(moves bool, changes []string, err error) string {
	switch {
	case !moves:
		return ""
	case err != nil:
		return fmt.Sprintf("its packages can't be had: %v", err)
	case len(changes) > 0:
		return "it has moved from the versions that the tests are known to pass with: " + strings.Join(changes, "; ")
	}
	return ""
}

// list returns the names of the tests that match, in the order in which they
// are to be begun.
func list(match string) ([]string, error) {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(tests, "-test.list=.").Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	var names []string
	for _, name := range strings.Fields(string(out)) {
		if strings.HasPrefix(name, "Test") && wanted.MatchString(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no test matches %q", match)
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names, nil
}

// rank is a test's place among those that are begun first.
func rank(name string) int {
	if i := slices.Index(first, name); i >= 0 {
		return i
	}
	return len(first)
}

func tellSlowest(out *output, results []result) {
	slices.SortFunc(results, func(a, b result) int { return int(b.Took - a.Took) })
	out.note("the slowest:")
	for _, r := range results[:min(slowest, len(results))] {
		out.note("%8s  %-10s %s", r.Took.Round(time.Second), r.Suite, r.Test)
	}
}

// tellFailed tells what failed tests have said: with hundreds of tests that is far above.
func tellFailed(out *output, results []result) {
	for _, r := range results {
		if r.failed() {
			out.note("FAILED: %s %s:", r.Suite, r.Test)
			for _, line := range r.Said {
				out.note("    %s", line)
			}
		}
	}
}
