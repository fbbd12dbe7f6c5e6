package config

import (
	"strings"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// suggestKey returns ", did you mean …?" for a mistyped key, or nothing.
func suggestKey(path []string) string {
	name := dotted(path)
	if len(path) == whoDepth+1 && isTable(path[:whoDepth]) {
		return nearest(path[whoDepth], limits.Grantable())
	}
	for _, k := range keys {
		// The right key in no section, or in the wrong one.
		if k.base() == path[len(path)-1] {
			return suggestion(k.name)
		}
	}
	candidates := make([]string, len(keys))
	for i, k := range keys {
		candidates[i] = k.name
	}
	return nearest(name, candidates)
}

// suggestSection returns ", did you mean …?" for a mistyped section, or nothing.
func suggestSection(name string) string {
	candidates := []string{sectionUser, sectionMode}
	for _, k := range keys {
		candidates = append(candidates, k.section())
	}
	return nearest(name, candidates)
}

func suggestion(name string) string { return ", did you mean " + name + "?" }

// nearest suggests the candidate that is few typing mistakes away from name.
func nearest(name string, candidates []string) string {
	best, found := 3, "" // more mistakes than two are another word
	for _, c := range candidates {
		// A long name need not be compared: each byte more is a mistake.
		if len(name)-len(c) >= best || len(c)-len(name) >= best {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < best {
			best, found = d, c
		}
	}
	if found == "" {
		return ""
	}
	return suggestion(found)
}

// distance is how many bytes have to be put in, taken out or replaced to turn
// a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
