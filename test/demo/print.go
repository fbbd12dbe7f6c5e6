package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// step tells what is being done.
func step(format string, args ...any) {
	fmt.Printf("   "+format+"\n", args...)
}

// print shows what one half left.
func (r result) print() {
	fmt.Println()
	if len(r.left) == 0 {
		step("Left after %s: nothing.", patience)
	} else {
		step("Left after %s:", patience)
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintf(table, "     PID\tPPID\tWCHAN\tCOMMAND\n")
		for _, p := range r.left {
			fmt.Fprintf(table, "     %d\t%d\t%s\t%s\n", p.insidePID, p.insidePPID, p.wchan, p.command)
		}
		table.Flush()
	}
	step("From cancel to the last process gone: %s.", r.goneText())
}

func (r result) goneText() string {
	if !r.allGone {
		return fmt.Sprintf("still there after %s", patience)
	}
	return r.gone.Round(100 * time.Microsecond).String()
}

// summary shows both halves beside each other.
func summary(without, with result) {
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "\tprocesses left\tcancel to the last one gone\n")
	fmt.Fprintf(table, "without buildwatch\t%d\t%s\n", len(without.left), without.goneText())
	fmt.Fprintf(table, "with buildwatch\t%d\t%s\n", len(with.left), with.goneText())
	table.Flush()
}
