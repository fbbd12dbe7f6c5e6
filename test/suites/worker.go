package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/test/machine"
	"github.com/buildwatch/buildwatch/test/matrix"
)

// A result is how one test ended on one suite.
type result struct {
	Suite, Test string
	Passed      bool
	Took        time.Duration
	Said        []string // the first lines that a failed test's own code has printed
}

func (r result) failed() bool { return !r.Passed }

// A worker is one machine that runs tests, one at a time, each in a process of
// its own: one that hangs or panics takes no other with it.
type worker struct {
	suite    string
	part     matrix.Part // of TestMatrix
	n        int
	machines int // that work at once
	out      *output
	passed   bool     // an event has said that the test under way has passed
	said     []string // what the test under way has printed, from its first message on
}

// loop runs inside the machine: it says that it is ready, reads the names of
// tests and says how each has ended, after the mark, which no test prints.
const (
	loop = `cp "$0" /opt/ && cd "$1" && printf '\036%d\n' 0 && while read -r name; do
	/opt/"${0##*/}" -test.v=test2json -test.timeout=45m -test.run "^$name\$" -matrix.part "$2" -machines "$3" </dev/null 2>&1
	printf '\036%d\n' $?
done`
	mark   = "\036"
	source = machine.SourceDir + "/"
)

// work boots a machine and runs tests from the queue in it until there are no
// more. The error says that the machine has failed, and not a test.
func (w *worker) work(queue <-chan string, results chan<- result) (err error) {
	cmd := exec.Command(testmachine, "run", "--suite", w.suite, "--", "sh", "-c", loop, source+tests, source+"test/integration", w.part.String(), strconv.Itoa(w.machines))
	names, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = &lines{each: func(line string) { w.out.note("%s %d: %s", w.suite, w.n, line) }}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		names.Close()
		if end := cmd.Wait(); err == nil {
			err = end
		}
	}()
	printed := bufio.NewReader(stdout)
	if _, err := copyToMark(io.Discard, printed); err != nil {
		return fmt.Errorf("the machine has not come up: %w", err)
	}
	for name := range queue {
		began := time.Now()
		if _, err := fmt.Fprintln(names, name); err != nil {
			err = fmt.Errorf("the machine has ended before %s: %w", name, err)
			results <- w.lost(name, began, err)
			return err
		}
		passed, err := w.convert(printed)
		if err != nil {
			err = fmt.Errorf("the machine has ended during %s: %w", name, err)
			results <- w.lost(name, began, err)
			return err
		}
		results <- result{w.suite, name, passed, time.Since(began), w.said}
	}
	return nil
}

// pkg is what the events call the tests' package. Each machine has its own, as
// an event of a package's end is about all of its tests that run.
func (w *worker) pkg() string { return fmt.Sprintf("integration/%s-%d", w.suite, w.n) }

// convert turns what one test prints into events, and reports whether it has
// passed.
func (w *worker) convert(from *bufio.Reader) (passed bool, err error) {
	w.passed, w.said = false, nil
	converter := exec.Command("go", "tool", "test2json", "-t", "-p", w.pkg())
	converter.Stdout = &lines{each: w.event}
	to, err := converter.StdinPipe()
	if err != nil {
		return false, err
	}
	if err := converter.Start(); err != nil {
		return false, err
	}
	status, err := copyToMark(to, from)
	to.Close()
	if end := converter.Wait(); err == nil {
		err = end
	}
	return status == 0 && w.passed, err // one that was not run has not passed
}

// copyToMark copies up to the mark, and returns the exit status after it.
func copyToMark(to io.Writer, from *bufio.Reader) (int, error) {
	for {
		line, err := from.ReadString('\n')
		text, status, found := strings.Cut(line, mark)
		if _, err := io.WriteString(to, text); err != nil {
			return 0, err
		}
		if found {
			return strconv.Atoi(strings.TrimSuffix(status, "\n"))
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
	}
}

// event hands on what is told of a test, and of a package that it has failed: a
// test that took its process with it has no end of its own. That the package has
// begun and passed would be told once for each test.
func (w *worker) event(line string) {
	var event struct{ Action, Test, Output string }
	if err := json.Unmarshal([]byte(line), &event); err == nil && event.Test == "" && event.Action != "fail" {
		return
	}
	if event.Action == "pass" && !strings.Contains(event.Test, "/") {
		w.passed = true
	}
	if event.Action == "output" && len(w.said) < mostSaid && (len(w.said) > 0 || message.MatchString(event.Output)) {
		w.said = append(w.said, strings.TrimRight(event.Output, "\n"))
	}
	w.out.line(line)
}

// mostSaid is of how many lines of a failed test the end of the output reminds.
const mostSaid = 12

// message is how package testing begins what a test logs.
var message = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)

// lost tells that a test has failed with its machine.
func (w *worker) lost(name string, began time.Time, why error) result {
	for _, event := range []map[string]any{
		{"Action": "run"},
		{"Action": "output", "Output": why.Error() + "\n"},
		{"Action": "fail"},
	} {
		event["Time"], event["Package"], event["Test"] = time.Now(), w.pkg(), name
		line, err := json.Marshal(event)
		if err != nil {
			panic(err) // only strings and a time
		}
		w.out.line(string(line))
	}
	return result{w.suite, name, false, time.Since(began), []string{why.Error()}}
}
