package main

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestATestEndsAtTheMark(t *testing.T) {
	from := bufio.NewReader(strings.NewReader("=== RUN\nno end of line" + mark + "0\nPASS\n" + mark + "1\nhalf"))
	for _, want := range []struct {
		text   string
		status int
		err    error
	}{{"=== RUN\nno end of line", 0, nil}, {"PASS\n", 1, nil}, {"half", 0, io.ErrUnexpectedEOF}} {
		var to strings.Builder
		status, err := copyToMark(&to, from)
		if to.String() != want.text || status != want.status || !errors.Is(err, want.err) {
			t.Errorf("%q, %d, %v; want %+v", to.String(), status, err, want)
		}
	}
}

func TestWholeLinesAreHandedOn(t *testing.T) {
	var got []string
	l := &lines{each: func(line string) { got = append(got, line) }}
	for _, part := range []string{"a", "b\nc\n\n", "d", "\ne"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if want := []string{"ab", "c", "", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A package's end is told where it has failed only: gotestsum takes the tests that
// run then for failed, which those are whose process has died.
func TestEventsOfAPackage(t *testing.T) {
	var out strings.Builder
	w := &worker{suite: "forky", n: 1, out: &output{to: &out}}
	for _, line := range []string{
		`{"Action":"start","Package":"p"}`, `{"Action":"run","Test":"TestA"}`, `{"Action":"pass","Test":"TestA"}`,
		`{"Action":"output","Output":"PASS\n"}`, `{"Action":"pass"}`, `{"Action":"fail"}`, "not JSON",
	} {
		w.event(line)
	}
	want := `{"Action":"run","Test":"TestA"}` + "\n" + `{"Action":"pass","Test":"TestA"}` + "\n" + `{"Action":"fail"}` + "\nnot JSON\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A name that no test has, or a filter that got lost on its way: go test is content.
func TestATestThatWasNotRunHasNotPassed(t *testing.T) {
	for printed, want := range map[string]bool{
		"\x16=== RUN   TestA\n\x16--- PASS: TestA (0.01s)\n\x16PASS\n" + mark + "0\n": true,
		"testing: warning: no tests to run\n\x16PASS\n" + mark + "0\n":                false,
		"\x16=== RUN   TestA\n\x16--- FAIL: TestA (0.01s)\n\x16FAIL\n" + mark + "1\n": false,
	} {
		w := &worker{suite: "forky", n: 1, out: &output{to: io.Discard}}
		if got, err := w.convert(bufio.NewReader(strings.NewReader(printed))); got != want || err != nil {
			t.Errorf("%q: %v, %v", printed, got, err)
		}
	}
}

func TestTheEndRemindsOfWhatAFailedTestHasSaid(t *testing.T) {
	var out strings.Builder
	to := &output{to: &out}
	w := &worker{suite: "forky", n: 1, out: to}
	printed := "\x16=== RUN   TestA\nthe journal\n    a_test.go:7: gone after 3s\n        and more\n\x16--- FAIL: TestA (0.01s)\n\x16FAIL\n" + mark + "1\n"
	passed, err := w.convert(bufio.NewReader(strings.NewReader(printed)))
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	tellFailed(to, []result{{Suite: "forky", Test: "TestA", Passed: passed, Said: w.said}, {Test: "TestB", Passed: true}})
	if want := "# FAILED: forky TestA:\n#         a_test.go:7: gone after 3s\n#             and more\n"; !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "TestB") {
		t.Errorf("%s\nwant %s", out.String(), want)
	}
}

func TestALostMachineFailsItsTest(t *testing.T) {
	var out strings.Builder
	w := &worker{suite: "forky", n: 1, out: &output{to: &out}}
	r := w.lost("TestA", time.Now(), errors.New("the plug was pulled"))
	if !r.failed() || r.Test != "TestA" || r.Suite != "forky" {
		t.Errorf("%+v", r)
	}
	for _, words := range []string{`"Action":"fail"`, `the plug was pulled\n`, `"Package":"integration/forky-1"`} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("%s is not in\n%s", words, out.String())
		}
	}
}

func TestWhichTestsASuiteRuns(t *testing.T) {
	names := []string{"TestA", "TestListFormats", "TestPodmanMachineWithoutUsrLocal", "TestMatrix", "TestRootlessBuild"}
	for n, want := range [][]string{
		names,
		{"TestA", "TestMatrix", "TestRootlessBuild"}, // what is of this project alone is run once
		{"TestMatrix", "TestRootlessBuild"},          // what differs by release
	} {
		if got := ofSuite(names, n); !slices.Equal(got, want) {
			t.Errorf("suite %d tries %q", n, got)
		}
	}
}

func TestTheSlowestTestIsBegunFirst(t *testing.T) {
	names := []string{"TestA", "TestMatrix", "TestB"}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	if want := []string{"TestMatrix", "TestA", "TestB"}; !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
}
