package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFewFailuresAreTriedAgain, many are not, and a second failure stands.
func TestFewFailuresAreTriedAgain(t *testing.T) {
	first := []result{{Test: "TestA", Passed: true}, {Test: "TestB"}, {Test: "TestC"}}
	again := toTryAgain(first)
	if !slices.Equal(again, []string{"TestB", "TestC"}) {
		t.Fatalf("tried again: %v", again)
	}
	second := []result{{Test: "TestC", Passed: true}, {Test: "TestB"}}
	if got := passedOf(second); !slices.Equal(got, []string{"TestC"}) {
		t.Errorf("unstable: %v", got)
	}
	if got := withSecond(first, second); !reflect.DeepEqual(got, []result{first[0], second[1], second[0]}) {
		t.Errorf("in all: %v", got)
	}
	if got := withSecond(first, nil); !reflect.DeepEqual(got, first) { // no machine for the second try
		t.Errorf("without a second try: %v", got)
	}
	if got := toTryAgain(append(first, make([]result, mostAgain)...)); got != nil {
		t.Errorf("tried again, of many: %v", got)
	}
}

// TestWhatMovesBreaksNothingByItself: failures on the versions that the tests are known to
// pass with are counted, on whichever suite.
func TestWhatMovesBreaksNothingByItself(t *testing.T) {
	gone := errors.New("404 Not Found")
	for _, row := range []struct {
		moves   bool
		changes []string
		err     error
		counted bool
	}{
		{false, nil, nil, true},
		{false, nil, gone, true},
		{true, nil, nil, true},
		{true, []string{"podman 6.0.0-1 (known: 5.8.6)"}, nil, false},
		{true, nil, gone, false},
	} {
		if why := whyUncounted(row.moves, row.changes, row.err); (why == "") != row.counted {
			t.Errorf("%+v: %q", row, why)
		}
	}
}

// TestWhatIsNamedIsATest: one that was renamed would not be run any more.
func TestWhatIsNamedIsATest(t *testing.T) {
	files, err := filepath.Glob("../integration/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
	}
	for _, set := range []*regexp.Regexp{once, differing} {
		inside := strings.TrimSuffix(strings.TrimPrefix(set.String(), "^("), ")")
		for _, part := range strings.Split(inside, "|") {
			if !slices.ContainsFunc(names, regexp.MustCompile("^("+part+")").MatchString) {
				t.Errorf("no test is called %s", part)
			}
		}
	}
}
