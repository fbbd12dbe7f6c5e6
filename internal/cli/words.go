package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// word is one of a closed set of package api.
type word interface {
	~string
	Meaning() string
}

// helpWidth is how wide a list of meanings is: a manual page of 80 columns indents it.
const helpWidth = 72

// each is what f makes of each.
func each[T, U any](all []T, f func(T) U) []U {
	made := make([]U, len(all))
	for i, one := range all {
		made[i] = f(one)
	}
	return made
}

// wordHelp lists words with their meanings, as package api has them.
func wordHelp[T word](words []T) string {
	return glossary(each(words, func(w T) [2]string { return [2]string{string(w), w.Meaning()} }))
}

// glossary sets terms beside what they mean, in helpWidth columns.
func glossary(rows [][2]string) string {
	var b strings.Builder
	wide := 0
	for _, row := range rows {
		wide = max(wide, len(row[0]))
	}
	for _, row := range rows {
		at := fmt.Sprintf("  %-*s", wide, row[0])
		column := len(at)
		for part := range strings.FieldsSeq(row[1]) {
			if len(at)+1+len(part) > helpWidth {
				b.WriteString(at + "\n")
				at = strings.Repeat(" ", column)
			}
			at += " " + part
		}
		b.WriteString(at + "\n")
	}
	return b.String()
}

// shownKinds are the kinds of events that the client hands on.
func shownKinds() []api.EventKind {
	return slices.DeleteFunc(api.EventKinds(), func(k api.EventKind) bool {
		return k == api.EventAlive || k == api.EventStopping
	})
}
