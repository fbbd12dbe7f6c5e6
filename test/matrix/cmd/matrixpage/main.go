// Matrixpage writes docs/matrix.md, to standard output, from the outputs of tests
// that it is given: `make matrix`.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/buildwatch/buildwatch/test/matrix"
)

func main() {
	command := flag.String("command", "make matrix", "how the results were made")
	flag.Parse()
	if err := write(flag.Args(), *command); err != nil {
		fmt.Fprintln(os.Stderr, "matrixpage:", err)
		os.Exit(1)
	}
}

func write(paths []string, command string) error {
	var runs []matrix.Run
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		run, err := matrix.ReadRun(file)
		file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(run.Results) == 0 {
			return fmt.Errorf("%s has no results", path)
		}
		runs = append(runs, run)
	}
	matrix.Markdown(os.Stdout, runs, command, time.Now())
	return nil
}
