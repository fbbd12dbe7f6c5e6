package matrix

import (
	"slices"
	"testing"
)

var hosts = map[string]Host{"everything": {}, "no crun for root": {NoRootCrun: true}}

// TestEveryValueIsTriedAtLeastTwice, and every combination at least once.
func TestEveryValueIsTriedAtLeastTwice(t *testing.T) {
	for name, host := range hosts {
		cells := host.Chosen()
		t.Logf("%s: %d of %d cells", name, len(cells), len(host.All()))
		for row, values := range rows {
			for _, value := range values {
				n := 0
				for _, c := range cells {
					if c.values()[row] == value {
						n++
					}
				}
				if n < 2 {
					t.Errorf("%s: %s is tried %d times", name, value, n)
				}
			}
		}
		tried := map[Combination]bool{}
		for _, c := range cells {
			if !host.Possible(c) {
				t.Errorf("%s: %s is impossible", name, c)
			}
			for _, p := range c.Combinations() {
				tried[p] = true
			}
		}
		for _, c := range host.All() {
			for _, p := range c.Combinations() {
				if !tried[p] {
					t.Errorf("%s: %s is not tried", name, p)
					tried[p] = true
				}
			}
		}
	}
}

// TestChoiceIsTheSameEachTime: a red cell must be there in the next run too.
func TestChoiceIsTheSameEachTime(t *testing.T) {
	if !slices.Equal(Host{}.Chosen(), Host{}.Chosen()) {
		t.Error("two runs chose different cells")
	}
}

// TestNoCellIsThereTwice.
func TestNoCellIsThereTwice(t *testing.T) {
	seen := map[Cell]bool{}
	for _, c := range (Host{}).All() {
		if seen[c] {
			t.Errorf("%s is there twice", c)
		}
		seen[c] = true
	}
}

// TestPartsAreTheWhole: together the suites of a run try every cell, each once.
func TestPartsAreTheWhole(t *testing.T) {
	all := Host{}.Chosen()
	tried := map[Cell]int{}
	for _, text := range []string{"1/3", "2/3", "3/3"} {
		var p Part
		if err := p.Set(text); err != nil || p.String() != text {
			t.Fatal(p, err)
		}
		part := p.From(all)
		if len(part) < len(all)/3 {
			t.Errorf("%s has %d of %d cells", text, len(part), len(all))
		}
		for _, c := range part {
			tried[c]++
		}
	}
	for _, c := range all {
		if tried[c] != 1 {
			t.Errorf("%s is tried %d times", c, tried[c])
		}
	}
	if got := (Part{}).From(all); len(got) != len(all) {
		t.Errorf("without a part there are %d", len(got))
	}
	for _, text := range []string{"", "0/3", "4/3", "1", "x/3"} {
		if new(Part).Set(text) == nil {
			t.Errorf("%q is a part", text)
		}
	}
}
