package main

import (
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// series is the times of one kind.
type series struct {
	name  string
	times []time.Duration
}

func (s *series) add(d time.Duration) { s.times = append(s.times, d) }

func (s *series) last() time.Duration { return s.times[len(s.times)-1] }

// quantile is the smallest time that a share q of all does not exceed.
func (s *series) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s.times))
	i := int(float64(len(sorted))*q+0.9999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func printTable(all []*series) {
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 3, ' ', 0)
	fmt.Fprintln(w, "\tmedian\tp90\tp99\tmedian and p99 against the first")
	for i, s := range all {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.2fx, %.2fx", share(s, all[0], 0.5), share(s, all[0], 0.99))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.name, ms(s.quantile(0.5)), ms(s.quantile(0.9)), ms(s.quantile(0.99)), ratio)
	}
	w.Flush()
}

func share(s, base *series, q float64) float64 {
	return float64(s.quantile(q)) / float64(base.quantile(q))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }
