package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// An output takes lines of several machines. It is safe for concurrent use.
type output struct {
	mu sync.Mutex
	to io.Writer
}

// line prints one event.
func (o *output) line(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintln(o.to, text)
}

// note prints a line for people.
func (o *output) note(format string, args ...any) { o.line("# " + fmt.Sprintf(format, args...)) }

// A lines is a writer that hands on whole lines.
type lines struct {
	rest string
	each func(line string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest += string(p)
	for {
		line, rest, whole := strings.Cut(l.rest, "\n")
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		l.each(line)
	}
}
