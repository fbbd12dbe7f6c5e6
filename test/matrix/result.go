package matrix

import "time"

// ResultPrefix begins a line of a test's output that holds a Result, as JSON.
const ResultPrefix = "matrix: "

// A Result is what became of a cell. The first of a run has Versions alone.
type Result struct {
	Versions string `json:",omitempty"`
	Cell     Cell
	Failed   bool
	// GoneAfter is how long after the cancel the last process was gone.
	GoneAfter time.Duration
}
