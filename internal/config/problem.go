package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong in a configuration file.
type Problem struct {
	File   string // path
	Line   int    // from 1; 0 where the file as a whole is refused
	Key    string // dotted, such as "ladder.kill_timeout"; may be empty
	Reason string
}

// Error returns "FILE:LINE: KEY: reason" in one line, without what is not known.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Key != "" {
		b.WriteString(": " + printable(p.Key))
	}
	b.WriteString(": " + printable(p.Reason))
	return b.String()
}

// Origin is where a value comes from. The zero value is the built-in default.
type Origin struct {
	File string
	Line int
}

// String returns "default" or "FILE:LINE", in one line.
func (o Origin) String() string {
	if o.File == "" {
		return "default"
	}
	return fmt.Sprintf("%s:%d", printable(o.File), o.Line)
}

// printable returns s, quoted if it holds anything that could break the line or
// reach a terminal as a control sequence.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == '\uFFFD' }) {
		return strconv.Quote(s)
	}
	return s
}

// quoted returns s as it may stand in a message: quoted, and cut if it is long.
func quoted(s string) string { return strconv.Quote(cut(s)) }

// cut returns s without what is too long for a message.
func cut(s string) string {
	const most = 100
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
